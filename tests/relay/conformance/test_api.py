"""Requests, answers and refusals of the API: statuses, texts, keys and their order."""

from __future__ import annotations

import json

import pytest

from tests.relay.conformance.rig import Api, Upstream, free_port

PROXY_KEYS = ["name", "listen", "upstream", "enabled", "Logger", "toxics"]
TOXIC_KEYS = ["attributes", "name", "type", "stream", "toxicity"]
GONE = ("127.0.0.1", 1)


def test_the_version_is_told_in_toxiproxys_own_way(api: Api) -> None:
    answer = api.call("GET", "/version")

    assert answer.body == b'{"version": "2.12.0"}\n'
    assert answer.headers["content-type"] == "application/json;charset=utf-8"
    assert answer.headers["x-toxiproxy-request-id"]


def test_no_proxies_are_an_empty_object(api: Api) -> None:
    assert api.call("GET", "/proxies").json == {}


def test_a_proxy_is_shown_with_its_keys_in_order(api: Api) -> None:
    made = api.proxy("p", GONE)
    shown = api.call("GET", "/proxies/p")

    assert list(made.json) == PROXY_KEYS
    assert made.json == shown.json == api.call("GET", "/proxies").json["p"]
    assert made.json["Logger"] == {}
    assert made.json["enabled"] is True
    assert made.json["toxics"] == []
    assert not made.json["listen"].endswith(":0")
    assert made.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("POST", "/proxies", {"upstream": "a:1"}, 400, "missing required field: name"),
        ("POST", "/proxies", {"name": "x"}, 400, "missing required field: upstream"),
        ("POST", "/proxies", {"name": "", "upstream": "a:1"}, 400, "missing required field: name"),
        ("POST", "/proxies", "", 400, "bad request body: EOF"),
        ("POST", "/proxies", '{"name": "x', 400, "bad request body: unexpected EOF"),
        ("POST", "/proxies", "nonsense", 400, "bad request body: "),
        ("POST", "/proxies", [], 400, "bad request body: json: cannot unmarshal array"),
        ("POST", "/proxies", {"name": 5, "upstream": "a:1"}, 400, "bad request body: json: cannot unmarshal number"),
        (
            "POST",
            "/proxies",
            {"name": "x", "upstream": "a:1", "enabled": "no"},
            400,
            "bad request body: json: cannot unmarshal s",
        ),
        ("POST", "/proxies", {"name": "p", "upstream": "a:1"}, 409, "proxy already exists"),
        ("GET", "/proxies/nobody", None, 404, "proxy not found"),
        ("PATCH", "/proxies/nobody", {}, 404, "proxy not found"),
        ("DELETE", "/proxies/nobody", None, 404, "proxy not found"),
        ("GET", "/proxies/nobody/toxics", None, 404, "proxy not found"),
        ("POST", "/proxies/nobody/toxics", {"type": "latency"}, 404, "proxy not found"),
        ("GET", "/proxies/p/toxics/none", None, 404, "toxic not found"),
        ("PATCH", "/proxies/p/toxics/none", {}, 404, "toxic not found"),
        ("DELETE", "/proxies/p/toxics/none", None, 404, "toxic not found"),
        ("POST", "/proxies/p/toxics", {"type": "nonsense"}, 400, "invalid toxic type"),
        ("POST", "/proxies/p/toxics", {}, 400, "invalid toxic type"),
        ("POST", "/proxies/p/toxics", {"type": "packet_loss"}, 400, "invalid toxic type"),
        (
            "POST",
            "/proxies/p/toxics",
            {"type": "latency", "stream": "sideways"},
            400,
            "stream was invalid, can be either upstream or downstream",
        ),
        ("POST", "/proxies/p/toxics", {"type": "latency", "name": "there"}, 409, "toxic already exists"),
        ("POST", "/proxies/p/toxics", {"type": "noop", "stream": "upstream", "name": "there"}, 409, "toxic already exists"),
        ("POST", "/proxies/p/toxics", {"type": "latency", "attributes": {"latency": 1.5}}, 400, "bad request body: json: cannot"),
        (
            "POST",
            "/proxies/p/toxics",
            {"type": "latency", "attributes": {"latency": "100"}},
            400,
            "bad request body: json: cannot",
        ),
        (
            "POST",
            "/proxies/p/toxics",
            '{"type": "latency", "attributes": {"latency": 1e2}}',
            400,
            "bad request body: json: cannot",
        ),
        (
            "POST",
            "/proxies/p/toxics",
            {"type": "latency", "attributes": {"latency": 2**63}},
            400,
            "bad request body: json: cannot",
        ),
        ("POST", "/proxies/p/toxics", {"type": "latency", "attributes": []}, 400, "bad request body: json: cannot"),
        ("POST", "/proxies/p/toxics", {"type": "latency", "toxicity": 1e39}, 400, "bad request body: json: cannot"),
        ("POST", "/proxies/p/toxics", "", 400, "bad request body: EOF"),
        ("PATCH", "/proxies/p/toxics/there", {"toxicity": "x"}, 400, "bad request body: json: cannot"),
        ("PATCH", "/proxies/p", {"listen": 5}, 400, "bad request body: json: cannot"),
        ("PATCH", "/proxies/p", {"listen": "x"}, 500, "address x: missing port in address"),
    ],
)
def test_a_refusal_is_an_error_object_with_toxiproxys_text(
    api: Api, method: str, path: str, body: object, status: int, error: str
) -> None:
    api.proxy("p", GONE)
    api.toxic("p", "noop", name="there")
    answer = api.call(method, path, body)

    assert answer.status == status
    assert answer.error.startswith(error)
    assert answer.error == error or error.startswith("bad request body: ")
    assert list(answer.json) == ["error", "status"]
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.body.endswith(b"\n")
    assert answer.headers["x-toxiproxy-request-id"]


@pytest.mark.parametrize(
    ("listen", "error"),
    [
        ("127.0.0.1", "listen tcp: address 127.0.0.1: missing port in address"),
        ("a:b:c", "listen tcp: address a:b:c: too many colons in address"),
        ("127.0.0.1:99999", "listen tcp: address 99999: invalid port"),
        ("127.0.0.1:nonsense", "listen tcp: lookup tcp/nonsense: unknown port"),
        ("192.0.2.1:80", "listen tcp 192.0.2.1:80: bind: cannot assign requested address"),
    ],
)
def test_who_cannot_listen_says_why_and_makes_nothing(api: Api, listen: str, error: str) -> None:
    answer = api.call("POST", "/proxies", {"name": "x", "upstream": "a:1", "listen": listen})

    assert answer.status == 500
    assert answer.error == error
    assert api.call("GET", "/proxies/x").status == 404


def test_a_port_that_is_taken_is_named(api: Api, upstream: Upstream) -> None:
    port = upstream.address[1]
    answer = api.call("POST", "/proxies", {"name": "x", "upstream": "a:1", "listen": f"127.0.0.1:{port}"})

    assert (answer.status, answer.error) == (500, f"listen tcp 127.0.0.1:{port}: bind: address already in use")


@pytest.mark.parametrize(
    "path", ["/", "/nope", "/proxies/", "/proxies/p/", "/proxies/p/toxics/", "/proxies/p/nonsense", "/metrics"]
)
def test_an_unknown_path_is_not_found_in_plain_text(api: Api, path: str) -> None:
    api.proxy("p", GONE)
    answer = api.call("GET", path)

    assert (answer.status, answer.body) == (404, b"404 page not found\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/proxies"), ("HEAD", "/proxies"), ("OPTIONS", "/version"), ("GET", "/reset")]
)
def test_a_wrong_method_is_refused_without_a_word(api: Api, method: str, path: str) -> None:
    answer = api.call(method, path)

    assert (answer.status, answer.body) == (405, b"")


def test_browsers_are_kept_out_of_known_paths_only(api: Api) -> None:
    answer = api.call("GET", "/proxies", User_Agent="Mozilla/5.0 (X11)")

    assert (answer.status, answer.body) == (403, b"User agent not allowed\n")
    assert api.call("GET", "/nope", User_Agent="Mozilla/5.0").status == 404
    assert api.call("GET", "/proxies", User_Agent="mozilla/5.0").status == 200


def test_keys_are_matched_case_blind_unknown_ones_ignored_and_null_is_not_given(api: Api) -> None:
    api.made.append("ci")
    answer = api.call(
        "POST",
        "/proxies",
        '{"NAME":"ci","uPstream":"a:1","LISTEN":"127.0.0.1:0","Enabled":null,"toxics":[{"type":"latency"}],"extra":{}} rest',
    )

    assert answer.status == 201
    assert answer.json["enabled"] is True
    assert answer.json["toxics"] == []


def test_a_body_in_chunks_is_read(api: Api) -> None:
    import http.client

    api.made.append("c")
    connection = http.client.HTTPConnection(*api.address, timeout=20)
    parts = [part.encode() for part in ('{"name":"c","upst', 'ream":"a:1","listen":"127.0.0.1:0"}')]
    connection.request("POST", "/proxies", body=iter(parts), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    status = connection.getresponse().status
    connection.close()

    assert status == 201


def test_a_name_may_have_spaces_and_signs_and_is_reached_percent_encoded(api: Api) -> None:
    api.made.append("a%20b%3F%3C")
    api.call("POST", "/proxies", {"name": "a b?<", "upstream": "a:1", "listen": "127.0.0.1:0"})

    assert api.call("GET", "/proxies/a%20b%3F%3C").json["name"] == "a b?<"
    assert api.call("POST", "/proxies/a%20b%3F%3C/toxics", {"type": "noop"}).status == 200


def test_a_name_with_a_slash_is_listed_but_out_of_reach(own_server: Api) -> None:
    own_server.call("POST", "/proxies", {"name": "a/b", "upstream": "a:1", "listen": "127.0.0.1:0"})

    assert list(own_server.call("GET", "/proxies").json) == ["a/b"]
    assert own_server.call("GET", "/proxies/a%2Fb").status == 404


# -- toxics ----------------------------------------------------------------------------------------


def test_a_toxic_is_shown_with_all_attributes_and_its_keys_in_order(api: Api) -> None:
    api.proxy("p", GONE)
    answer = api.call("POST", "/proxies/p/toxics", {"type": "slicer", "attributes": {"AVERAGE_SIZE": 5, "unknown": 1}})

    assert answer.status == 200
    assert list(answer.json) == TOXIC_KEYS
    assert list(answer.json["attributes"].items()) == [("average_size", 5), ("size_variation", 0), ("delay", 0)]
    assert answer.json["name"] == "slicer_downstream"
    assert answer.json["toxicity"] == 1
    assert b'"toxicity":1}' in answer.body
    assert answer.json == api.call("GET", "/proxies/p/toxics/slicer_downstream").json


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("latency", ["latency", "jitter"]),
        ("bandwidth", ["rate"]),
        ("slow_close", ["delay"]),
        ("timeout", ["timeout"]),
        ("reset_peer", ["timeout"]),
        ("slicer", ["average_size", "size_variation", "delay"]),
        ("limit_data", ["bytes"]),
        ("noop", []),
    ],
)
def test_every_type_has_its_attributes(api: Api, kind: str, attributes: list[str]) -> None:
    api.proxy("p", GONE)
    answer = api.call("POST", "/proxies/p/toxics", {"type": kind, "stream": "upstream"})

    assert list(answer.json["attributes"]) == attributes
    assert answer.json["name"] == f"{kind}_upstream"


def test_a_stream_is_shown_as_it_was_spelled_also_in_the_default_name(api: Api) -> None:
    api.proxy("p", GONE)
    answer = api.call("POST", "/proxies/p/toxics", {"type": "latency", "stream": "UPSTREAM"})

    assert (answer.json["stream"], answer.json["name"]) == ("UPSTREAM", "latency_UPSTREAM")


@pytest.mark.parametrize(
    ("given", "shown"), [("0.1234567891", b"0.12345679"), ("2.5", b"2.5"), ("-1", b"-1"), ("0.5", b"0.5"), ("0", b"0")]
)
def test_toxicity_has_no_bounds_and_32_bits(api: Api, given: str, shown: bytes) -> None:
    api.proxy("p", GONE)
    answer = api.call("POST", "/proxies/p/toxics", f'{{"type": "noop", "toxicity": {given}}}')

    assert b'"toxicity":' + shown + b"}" in answer.body


def test_toxics_are_listed_upstream_first_each_in_order_of_addition(api: Api) -> None:
    api.proxy("p", GONE)
    for name, stream in (("d1", "downstream"), ("u1", "upstream"), ("d2", "downstream"), ("u2", "upstream")):
        api.toxic("p", "noop", stream=stream, name=name)
    listed = [toxic["name"] for toxic in api.call("GET", "/proxies/p/toxics").json]

    assert listed == ["u1", "u2", "d1", "d2"]
    assert [toxic["name"] for toxic in api.call("GET", "/proxies/p").json["toxics"]] == listed


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_an_update_merges_attributes(api: Api, method: str) -> None:
    api.proxy("p", GONE)
    api.toxic("p", "latency", name="t", latency=100, jitter=10)
    answer = api.call(method, "/proxies/p/toxics/t", {"attributes": {"jitter": 20}, "toxicity": 0.5, "name": "x", "type": "noop"})

    assert answer.status == 200
    assert answer.json == {
        "attributes": {"latency": 100, "jitter": 20},
        "name": "t",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 0.5,
    }
    assert answer.json == api.call("GET", "/proxies/p/toxics/t").json


def test_negative_attributes_pass(api: Api) -> None:
    api.proxy("p", GONE)
    api.toxic("p", "latency", name="t", latency=-5)

    assert api.call("GET", "/proxies/p/toxics/t").json["attributes"]["latency"] == -5


def test_a_removed_toxic_is_gone_without_a_word(api: Api) -> None:
    api.proxy("p", GONE)
    api.toxic("p", "noop", name="t")
    answer = api.call("DELETE", "/proxies/p/toxics/t")

    assert (answer.status, answer.body) == (204, b"")
    assert api.call("GET", "/proxies/p/toxics").json == []


# -- populate and reset ----------------------------------------------------------------------------


def _wanted(name: str, port: int, **more: object) -> dict[str, object]:
    return {"name": name, "listen": f"127.0.0.1:{port}", "upstream": "127.0.0.1:1", **more}


def test_populate_makes_proxies_enabled_unless_told_otherwise(api: Api) -> None:
    api.made += ["a", "b"]
    answer = api.call("POST", "/populate", [_wanted("a", free_port()), _wanted("b", free_port(), enabled=False)])

    assert answer.status == 201
    assert [(p["name"], p["enabled"]) for p in answer.json["proxies"]] == [("a", True), ("b", False)]
    assert list(answer.json["proxies"][0]) == PROXY_KEYS


def test_populate_leaves_alone_what_is_the_same_and_replaces_the_rest(api: Api) -> None:
    api.made += ["a", "b"]
    wanted = [_wanted("a", free_port()), _wanted("b", free_port())]
    api.call("POST", "/populate", wanted)
    api.toxic("a", "noop")
    api.toxic("b", "noop")
    api.call("PATCH", "/proxies/a", {"enabled": False})
    wanted[1]["upstream"] = "127.0.0.1:2"
    wanted[0]["listen"] = str(wanted[0]["listen"]).replace("127.0.0.1", "localhost")
    answer = api.call("POST", "/populate", wanted)

    assert answer.status == 201
    assert [(p["enabled"], len(p["toxics"])) for p in answer.json["proxies"]] == [(False, 1), (True, 0)]


@pytest.mark.parametrize("body", ["[]", "null"])
def test_populate_with_nothing_does_nothing(api: Api, body: str) -> None:
    answer = api.call("POST", "/populate", body)

    assert (answer.status, answer.json) == (201, {"proxies": None})


def test_populate_with_a_bad_proxy_makes_none(api: Api) -> None:
    answer = api.call("POST", "/populate", [_wanted("a", 0), {"name": "b"}])

    assert answer.status == 400
    assert answer.json == {"error": "missing required field: upstream at proxy 2", "status": 400, "proxies": None}
    assert answer.headers["content-type"] == "application/json"
    assert api.call("GET", "/proxies/a").status == 404


def test_populate_keeps_what_it_made_before_one_that_cannot_listen(api: Api) -> None:
    api.made.append("a")
    answer = api.call("POST", "/populate", [_wanted("a", free_port()), {**_wanted("b", 0), "listen": "bad"}])

    assert answer.status == 500
    assert answer.json["error"] == "listen tcp: address bad: missing port in address"
    assert [p["name"] for p in answer.json["proxies"]] == ["a"]
    assert api.call("GET", "/proxies/a").status == 200
    assert api.call("GET", "/proxies/b").status == 404


def test_reset_enables_everything_and_takes_out_every_toxic(api: Api) -> None:
    api.proxy("a", GONE)
    api.proxy("b", GONE, enabled=False)
    api.toxic("a", "latency", latency=5)
    api.toxic("b", "latency", stream="upstream", latency=5)
    answer = api.call("POST", "/reset", "ignored")
    proxies = api.call("GET", "/proxies").json

    assert (answer.status, answer.body) == (204, b"")
    assert {name: (p["enabled"], p["toxics"]) for name, p in proxies.items()} == {"a": (True, []), "b": (True, [])}


def test_a_refused_update_of_a_proxy_changes_nothing(api: Api) -> None:
    api.proxy("p", GONE)
    before = api.call("GET", "/proxies/p").json
    api.call("PATCH", "/proxies/p", json.dumps({"upstream": "other:1", "listen": 5}))

    assert api.call("GET", "/proxies/p").json == before
