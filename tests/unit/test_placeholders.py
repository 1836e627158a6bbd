"""Placeholders: every word, every refusal, and the braces that must pass untouched."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.system.placeholders import NodeView, render

VIEW = NodeView(
    name="n2",
    directory="/data/n2",
    bind={"peer": ("127.0.0.1", 12002), "client": ("::1", 13002)},
    address={"peer": ("127.0.0.1", 12002), "client": "n2:2379"},
    peers={
        "n1": {"peer": ("127.0.0.1", 20021), "client": "n1:2379"},
        "n3": {"peer": ("127.0.0.1", 20023), "client": "n3:2379"},
    },
    members=("n1", "n2", "n3"),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--id {name} --data={dir}/db", "--id n2 --data=/data/n2/db"),
        ("{bind:peer}", "127.0.0.1:12002"),
        ("{host:peer} {port:peer}", "127.0.0.1 12002"),
        ("{bind:client} {host:client} {port:client}", "[::1]:13002 ::1 13002"),
        ("{address:peer} {address:client}", "127.0.0.1:12002 n2:2379"),
        ("{peer:n1:peer} {peer:n3:client}", "127.0.0.1:20021 n3:2379"),
        ("{peer:n2:peer}", "127.0.0.1:12002"),
        ("{peers:peer}", "127.0.0.1:20021,127.0.0.1:20023"),
        ("{members:client}", "n1:2379,n2:2379,n3:2379"),
        ("{members:client:%n=http://%a}", "n1=http://n1:2379,n2=http://n2:2379,n3=http://n3:2379"),
        ("{peers:peer:%n at %h port %p%%|; }", "n1 at 127.0.0.1 port 20021%; n3 at 127.0.0.1 port 20023%"),
        ("{peers:peer:%a| }", "127.0.0.1:20021 127.0.0.1:20023"),
        ("{peers:peer:%n|}", "n1n3"),
    ],
)
def test_each_word_becomes_what_its_table_says(text: str, expected: str) -> None:
    assert render(text, VIEW) == expected


MIXED = NodeView(
    name="web",
    directory="/data/web",
    bind={"http": ("127.0.0.1", 8000)},
    address={"http": ("127.0.0.1", 8000)},
    peers={"db": {"sql": ("127.0.0.1", 9000)}, "idle": {}, "web-2": {"http": ("127.0.0.1", 9001)}},
    members=("db", "web", "idle", "web-2"),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{peers:http:%n}", "web-2"),
        ("{members:http:%n}", "web,web-2"),
        ("{peers:sql} {peer:db:sql}", "127.0.0.1:9000 127.0.0.1:9000"),
    ],
)
def test_a_list_names_the_nodes_that_have_the_port(text: str, expected: str) -> None:
    assert render(text, MIXED) == expected


def test_a_port_that_no_node_has_is_refused_even_in_a_list() -> None:
    with pytest.raises(UsageError, match="there is no port 'grpc'; allowed: http, sql"):
        render("{peers:grpc}", MIXED)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": {"b": {"c": 1}}, "list": [{}]}',
        "{ name }",
        "awk '{ print $1 }' ${1} {} {1} {a,b} } { {{ }}",
        "{key: value}",
        "%n %a |",
        "\\d{3}",
    ],
)
def test_other_braces_stay_as_they_are(text: str) -> None:
    assert render(text, VIEW) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{name}} {name}", "{name} n2"),
        ("${{HOME}}/x", "${HOME}/x"),
        ("{{bind:peer}}", "{bind:peer}"),
        ('{"id":{"n":"{name}"}}', '{"id":{"n":"n2"}}'),
    ],
)
def test_doubled_braces_keep_a_word(text: str, expected: str) -> None:
    assert render(text, VIEW) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{nmae}", r"'\{nmae\}' \(node n2, env\['X'\]\) is not a placeholder; allowed: \{name\} .* write \{\{nmae\}\}"),
        ("${HOME}", r"'\{HOME\}' .* is not a placeholder"),
        ("{bind}", "'bind' wants an argument"),
        ("{name:x}", "'name' takes no argument"),
        ("{bind:perr}", "there is no port 'perr'; allowed: peer, client"),
        ("{peer:n9:peer}", "there is no node 'n9'; allowed: n1, n2, n3"),
        ("{peer:n1}", "there is no port ''; allowed: peer, client"),
        ("{peer:n1:perr}", "there is no port 'perr'"),
        ("{peers:perr}", "there is no port 'perr'"),
        ("{peers:peer:%x}", "there is no % 'x'; allowed: n, a, h, p, %"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        render(text, VIEW, where="env['X']")


def test_members_follow_this_node_and_its_peers_when_no_order_is_given() -> None:
    view = NodeView(name="b", directory="/", bind={}, address={"p": "b:1"}, peers={"a": {"p": "a:1"}})

    assert render("{members:p}", view) == "b:1,a:1"


def test_a_system_of_one_has_no_peers() -> None:
    view = NodeView(name="a", directory="/", bind={}, address={"p": "a:1"}, peers={})

    assert render("[{peers:p}] [{members:p}]", view) == "[] [a:1]"


@given(
    st.recursive(
        st.none() | st.integers() | st.text(alphabet="ab{}: ,"),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("xy"), inner),
    )
)
def test_json_passes_whatever_its_shape_unless_a_text_holds_a_placeholder(value: object) -> None:
    """Keys are quoted, so a brace of JSON itself is never followed by a word."""
    plain = json.loads(json.dumps(value).replace("{a", "(a").replace("{b", "(b"))

    assert json.loads(render(json.dumps(plain), VIEW)) == plain


@given(st.text(alphabet="{}:|%na b1"))
def test_any_text_is_rendered_or_refused_with_a_sentence(text: str) -> None:
    """Nothing but a UsageError ever comes out, and a text without an opening brace is never changed."""
    try:
        result = render(text, VIEW)
    except UsageError as error:
        result = str(error).partition("; allowed")[0] if "allowed: " in str(error) else "no sentence"

    assert result != "no sentence"
    assert "{" in text or result == text
