"""The two tables of HPACK (RFC 7541): header fields known to everybody, and the Huffman code."""

from __future__ import annotations

__all__ = ["EOS", "STATIC_FIELDS", "huffman_codes"]

EOS = 256
"""The symbol that ends strings, of which only beginnings may appear."""

_FIELDS = (
    ":authority|:method=GET|:method=POST|:path=/|:path=/index.html|:scheme=http|:scheme=https|:status=200|"
    ":status=204|:status=206|:status=304|:status=400|:status=404|:status=500|accept-charset|"
    "accept-encoding=gzip, deflate|accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|"
    "authorization|cache-control|content-disposition|content-encoding|content-language|content-length|"
    "content-location|content-range|content-type|cookie|date|etag|expect|expires|from|host|if-match|"
    "if-modified-since|if-none-match|if-range|if-unmodified-since|last-modified|link|location|max-forwards|"
    "proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|server|set-cookie|"
    "strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate"
)

STATIC_FIELDS = tuple(
    (name.encode(), value.encode()) for name, _, value in (field.partition("=") for field in _FIELDS.split("|"))
)
"""Appendix A: name and value of the fields 1 to 61."""

_LENGTHS = (
    "8innnnnnnjpnnpnnnnnnnnpnnnnnnnnn1557813655363111000111111123a1758122222222222222222222"
    "223238e891a01010111022111012100122222a698nfhffhhhihiiiiijijjhijiiiighihiijhgfhhiigihhj"
    "ghiigghgihiifhhhihhillfehihklllmmljkeglmmlmjggllnmmmfjfghggihhkkjjlilmllmmmmmnmmmmmlp"
)
"""Appendix B: of every symbol, how many bits more than 5 its code has, in base 36. The lengths say it all: codes of one
length follow each other by symbol."""


def huffman_codes() -> dict[int, tuple[int, int]]:
    """Symbol -> its code and how many bits that has; symbols are the bytes, and `EOS`."""
    codes: dict[int, tuple[int, int]] = {}
    code = bits = 0
    for length, symbol in sorted((int(digit, 36) + 5, symbol) for symbol, digit in enumerate(_LENGTHS)):
        code <<= length - bits
        bits = length
        codes[symbol] = (code, bits)
        code += 1
    return codes
