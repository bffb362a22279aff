"""TIFFs whose every tag a test decides, right or wrong."""

import struct

_SIZES = {0: "B", 1: "B", 2: "B", 3: "H", 4: "L", 11: "f", 12: "d", 16: "Q"}


def tiff(*pages, order="<", loop=False):
    """Return a TIFF of pages in one chain.

    Args:
        *pages: of each, the fields by tag, each (type, values); and its one strip, whose place
            becomes tags 273 and 279 unless these are among the fields.
        order: byte order, `<` or `>`.
        loop: whether the last page names the first as the next one.
    """
    out = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "HL", 42, 0))
    link, first = 4, None
    for fields, strip in pages:
        places = {273: (4, [len(out)]), 279: (4, [len(strip)])}
        out += strip + b"\0" * (len(strip) % 2)
        entries = b""
        for tag, (kind, values) in sorted((places | fields).items()):
            packed = struct.pack(f"{order}{len(values)}{_SIZES[kind]}", *values)
            if len(packed) > 4:
                where = struct.pack(order + "L", len(out))
                out += packed + b"\0" * (len(packed) % 2)
            else:
                where = packed.ljust(4, b"\0")
            entries += struct.pack(order + "HHL", tag, kind, len(values)) + where
        struct.pack_into(order + "L", out, link, len(out))
        first = len(out) if first is None else first
        out += struct.pack(order + "H", len(entries) // 12) + entries
        link = len(out)
        out += bytes(4)
    if loop:
        struct.pack_into(order + "L", out, link, first)
    return bytes(out)


def grey(width, height, bits=8, photometric=1, **more):
    """Return the fields of a grey page; `more` adds or replaces some, as `t277=(3, [1])`."""
    fields = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [bits]),
        259: (3, [1]),
        262: (3, [photometric]),
        277: (3, [1]),
    }
    return fields | {int(tag[1:]): field for tag, field in more.items()}
