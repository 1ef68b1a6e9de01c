"""Pictures of every format, sampling, bit depth, size and orientation, and what Pillow makes of each.

    pip install pillow numpy
    python parrot-model/tests/reference/pillow.py /tmp/grid
    PILLOW_GRID=/tmp/grid cargo test -p parrot-model --test image -- --ignored --nocapture

cases.json holds for each file the SHA-256 of its RGB bytes after exif_transpose, null where Pillow refuses it. A selection
of these files, with Pillow 13's results, is in ../golden-pillow.
"""

import hashlib, io, itertools, json, os, random, struct, sys, warnings, zlib

import numpy as np
from PIL import Image, ImageOps

out = sys.argv[1]
os.makedirs(out, exist_ok=True)

rng = np.random.default_rng(7)


def scene(w, h, c=3):
    y, x = np.mgrid[0:h, 0:w]
    a = np.stack(
        [(x * 7 + y * 3) % 256, (128 + 100 * np.sin(x / 3.0) + 20 * np.cos(y / 2.0)), (255 - (x * y) % 251)], -1
    )[..., :3]
    a = a + rng.integers(-20, 20, (h, w, 3))
    a = np.clip(a, 0, 255).astype(np.uint8)
    return Image.fromarray(a)


def put(name, data):
    open(os.path.join(out, name), "wb").write(data)


def enc(im, fmt, **k):
    b = io.BytesIO()
    im.save(b, fmt, **k)
    return b.getvalue()


sizes = [
    (1, 1),
    (2, 1),
    (1, 2),
    (3, 3),
    (4, 5),
    (5, 4),
    (7, 9),
    (8, 8),
    (9, 7),
    (15, 17),
    (16, 16),
    (17, 15),
    (31, 33),
    (33, 31),
    (20, 3),
    (3, 20),
    (25, 2),
    (100, 60),
]
for w, h in sizes:
    im = scene(w, h)
    for sub, prog, q in itertools.product((0, 1, 2), (False, True), (30, 75, 97)):
        put(f"jpg_{w}x{h}_s{sub}_p{int(prog)}_q{q}.jpg", enc(im, "JPEG", subsampling=sub, progressive=prog, quality=q))
    for s in ["4:4:0", "4:1:1"]:
        try:
            put(f"jpg_{w}x{h}_s{s.replace(':', '')}.jpg", enc(im, "JPEG", subsampling=s))
        except Exception:
            pass
    put(f"jpg_{w}x{h}_grey.jpg", enc(im.convert("L"), "JPEG"))
    put(f"jpg_{w}x{h}_cmyk.jpg", enc(Image.merge("CMYK", [*im.split(), im.convert("L")]), "JPEG"))
    put(f"jpg_{w}x{h}_rst.jpg", enc(im, "JPEG", restart_marker_blocks=2))
    put(f"jpg_{w}x{h}_rgb.jpg", enc(im, "JPEG", keep_rgb=True))
    for m in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        j = (
            im.convert("L").convert(m)
            if m in ("1", "LA")
            else (
                im.convert("P", palette=Image.Palette.ADAPTIVE, colors=17)
                if m == "P"
                else (
                    Image.fromarray((np.asarray(im.convert("L")).astype(np.uint16) * 257))
                    if m == "I;16"
                    else im.convert(m)
                )
            )
        )
        put(f"png_{w}x{h}_{m.replace(';', '')}.png", enc(j, "PNG"))
    for bits, n in ((1, 2), (2, 4), (4, 16)):
        put(
            f"png_{w}x{h}_P{bits}.png", enc(im.convert("P", palette=Image.Palette.ADAPTIVE, colors=n), "PNG", bits=bits)
        )
    put(f"gif_{w}x{h}.gif", enc(im.convert("P", palette=Image.Palette.ADAPTIVE, colors=50), "GIF"))
    put(f"gif_{w}x{h}_int.gif", enc(im.convert("P", palette=Image.Palette.ADAPTIVE, colors=200), "GIF", interlace=1))
    put(f"gif_{w}x{h}_L.gif", enc(im.convert("L"), "GIF"))
    put(f"gif_{w}x{h}_t.gif", enc(im.convert("P", palette=Image.Palette.ADAPTIVE, colors=50), "GIF", transparency=3))
    for m in ("1", "L", "P", "RGB", "RGBA"):
        j = im.convert("P", palette=Image.Palette.ADAPTIVE, colors=17) if m == "P" else im.convert(m)
        put(f"bmp_{w}x{h}_{m}.bmp", enc(j, "BMP"))
    for q, l in ((40, False), (90, False), (80, True)):
        put(f"webp_{w}x{h}_q{q}_{int(l)}.webp", enc(im, "WEBP", quality=q, lossless=l))
    put(f"webp_{w}x{h}_a.webp", enc(im.convert("RGBA"), "WEBP", quality=70))


# other sampling factors: patch via own encoder below
# 16-bit PNGs, interlaced
def png(w, h, ct, depth, raw, extra=b"", inter=0, after=b""):
    def ch(t, d):
        return struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d))

    return (
        b"\x89PNG\r\n\x1a\n"
        + ch(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, ct, 0, 0, inter))
        + extra
        + ch(b"IDAT", zlib.compress(raw))
        + after
        + ch(b"IEND", b"")
    )


for w, h in sizes:
    for ct, ns in ((0, 1), (2, 3), (4, 2), (6, 4)):
        r = b"".join(b"\0" + rng.bytes(w * ns * 2) for _ in range(h))
        put(f"png16_{w}x{h}_ct{ct}.png", png(w, h, ct, 16, r))
    # palette with indices beyond it
    ch = lambda t, d: struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d))
    r = b"".join(b"\0" + rng.bytes(w) for _ in range(h))
    put(f"png_{w}x{h}_beyond.png", png(w, h, 3, 8, r, extra=ch(b"PLTE", rng.bytes(30))))
    put(
        f"png_{w}x{h}_trns.png",
        png(w, h, 3, 8, r, extra=ch(b"PLTE", rng.bytes(768)) + ch(b"tRNS", bytes([0, 128, 255]))),
    )
    put(
        f"png_{w}x{h}_rgbtrns.png",
        png(w, h, 2, 8, b"".join(b"\0" + rng.bytes(w * 3) for _ in range(h)), extra=ch(b"tRNS", bytes(6))),
    )
    put(f"png_{w}x{h}_ltrns.png", png(w, h, 0, 8, r, extra=ch(b"tRNS", b"\0\5")))


# bmp 16/32 bits/masks/rle
def bmp(w, h, bits, data, comp=0, masks=b"", pal=b"", hdr=40, off=None, topdown=False, colors=0):
    o = 14 + hdr + len(masks) + len(pal) if off is None else off
    head = struct.pack("<IiiHHIIiiII", hdr, w, -h if topdown else h, 1, bits, comp, len(data), 0, 0, colors, 0)
    head += b"\0" * (hdr - 40)
    return (
        b"BM" + struct.pack("<IHHI", 14 + hdr + len(masks) + len(pal) + len(data), 0, 0, o) + head + masks + pal + data
    )


for w, h in sizes:
    st = lambda b: (w * b + 31) // 32 * 4
    put(f"bmp_{w}x{h}_16.bmp", bmp(w, h, 16, rng.bytes(st(16) * h)))
    put(f"bmp_{w}x{h}_565.bmp", bmp(w, h, 16, rng.bytes(st(16) * h), 3, struct.pack("<III", 0xF800, 0x7E0, 0x1F)))
    put(f"bmp_{w}x{h}_td.bmp", bmp(w, h, 24, rng.bytes(st(24) * h), topdown=True))
    put(
        f"bmp_{w}x{h}_32m.bmp",
        bmp(w, h, 32, rng.bytes(st(32) * h), 3, struct.pack("<III", 0xFF000000, 0xFF0000, 0xFF00)),
    )
    put(f"bmp_{w}x{h}_off0.bmp", bmp(w, h, 24, rng.bytes(st(24) * h), off=0))
    put(f"bmp_{w}x{h}_pal4.bmp", bmp(w, h, 4, rng.bytes(st(4) * h), pal=rng.bytes(64)))
    put(f"bmp_{w}x{h}_pal4off54.bmp", bmp(w, h, 4, rng.bytes(st(4) * h), pal=rng.bytes(64), off=54))
    put(f"bmp_{w}x{h}_pal8short.bmp", bmp(w, h, 8, rng.bytes(st(8) * h), pal=rng.bytes(40), colors=10))
    put(f"bmp_{w}x{h}_pal8off0.bmp", bmp(w, h, 8, rng.bytes(st(8) * h), pal=rng.bytes(1024), off=0))
    put(f"bmp_{w}x{h}_os64.bmp", bmp(w, h, 24, rng.bytes(st(24) * h), hdr=64))
    put(f"bmp_{w}x{h}_v5.bmp", bmp(w, h, 24, rng.bytes(st(24) * h), hdr=124))
    put(f"bmp_{w}x{h}_badoff.bmp", bmp(w, h, 24, rng.bytes(st(24) * h), off=30))
    put(f"bmp_{w}x{h}_lateoff.bmp", bmp(w, h, 24, b"\1\2\3\4" + rng.bytes(st(24) * h), off=58))
    rle = b""
    for y in range(h):
        x = 0
        while x < w:
            n = min(w - x, int(rng.integers(1, 9)))
            if n >= 3 and rng.random() < 0.5:
                d = rng.bytes(n)
                rle += bytes([0, n]) + d + (b"\0" if n % 2 else b"")
            else:
                rle += bytes([n]) + rng.bytes(1)
            x += n
        rle += b"\0\0"
    put(f"bmp_{w}x{h}_rle8.bmp", bmp(w, h, 8, rle + b"\0\1", 1, pal=rng.bytes(1024)))
    put(
        f"bmp_{w}x{h}_rle4.bmp",
        bmp(w, h, 4, b"".join(bytes([w]) + rng.bytes(1) + b"\0\0" for _ in range(h)) + b"\0\1", 2, pal=rng.bytes(64)),
    )
# orientation in every way
im = scene(11, 7)


def tiff(kind, count, val, e=">", tag=274):
    return (
        (b"MM\0*" if e == ">" else b"II*\0")
        + struct.pack(e + "IH", 8, 1)
        + struct.pack(e + "HHI", tag, kind, count)
        + val
        + b"\0\0\0\0"
    )


EX = b"Exif\0\0"


def app1(d):
    return b"\xff\xe1" + struct.pack(">H", len(d) + 2) + d


for o in range(0, 10):
    for e in "<>":
        base = enc(im, "JPEG", quality=90)
        t = tiff(3, 1, struct.pack(e + "HH", o, 0), e)
        put(f"o_jpg_{o}{'LB'[e == '>']}.jpg", base[:2] + app1(EX + t) + base[2:])
    put(f"o_png_{o}.png", enc(im, "PNG", exif=EX + t))
    put(f"o_webp_{o}.webp", enc(im, "WEBP", lossless=True, exif=EX + t))
    xmp = f'<x tiff:Orientation="{o}"/>'.encode()
    put(f"o_xmp_{o}.jpg", base[:2] + app1(b"http://ns.adobe.com/xap/1.0/\0" + xmp) + base[2:])
    put(f"o_xmpw_{o}.webp", enc(im, "WEBP", lossless=True, xmp=xmp))
    raw = EX + t
    hexs = raw.hex()
    txt = f"\nexif\n{len(raw):8}\n" + "\n".join(hexs[i : i + 72] for i in range(0, len(hexs), 72)) + "\n"
    for name, chunk in (
        ("t", ch(b"tEXt", b"Raw profile type exif\0" + txt.encode())),
        ("z", ch(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(txt.encode()))),
        ("i", ch(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)),
        ("e", ch(b"eXIf", t)),
        ("a", ch(b"tEXt", b"Raw profile type APP1\0" + txt.encode())),
        ("rx", ch(b"iTXt", b"Raw profile type exif\0\0\0\0\0" + txt.encode())),
    ):
        r = b"".join(b"\0" + np.asarray(im)[y].tobytes() for y in range(7))
        put(f"o_png_{name}before_{o}.png", png(11, 7, 2, 8, r, extra=chunk))
        put(f"o_png_{name}after_{o}.png", png(11, 7, 2, 8, r, after=chunk))
for kind in range(0, 18):
    for count in (0, 1, 2, 3):
        for val in (b"\0\6\0\6", b"\0\0\0\6", b"\6\0\0\0", b"6\0\0\0", struct.pack(">f", 6.0)):
            put(f"ok_{kind}_{count}_{val.hex()}.jpg", base[:2] + app1(EX + tiff(kind, count, val)) + base[2:])
put("o_double.jpg", base[:2] + app1(EX + EX + tiff(3, 1, b"\0\6\0\0")) + base[2:])
put(
    "o_second.jpg",
    base[:2] + app1(EX + tiff(3, 1, b"\0\6\0\0")[:12]) + app1(EX + tiff(3, 1, b"\0\6\0\0")[12:]) + base[2:],
)
put("o_twosegs.jpg", base[:2] + app1(EX + tiff(3, 1, b"\0\3\0\0")) + app1(EX + tiff(3, 1, b"\0\6\0\0")) + base[2:])
put(
    "o_exif_no_orientation_xmp.jpg",
    base[:2]
    + app1(EX + tiff(3, 1, b"\0\6\0\0", tag=271))
    + app1(b"http://ns.adobe.com/xap/1.0/\0<tiff:Orientation>6</tiff:Orientation>")
    + base[2:],
)
put(
    "o_xmptwice.jpg",
    base[:2]
    + app1(b"http://ns.adobe.com/xap/1.0/\0<tiff:Orientation>6</tiff:Orientation>")
    + app1(b"http://ns.adobe.com/xap/1.0/\0<tiff:Orientation>3</tiff:Orientation>")
    + base[2:],
)
jfif = 2 + 2 + struct.unpack(">H", base[4:6])[0]
for junk in (b"\0", b"\0\7", b"\xff\0", b"\xff\xff\xff", b"\xff\xd3", b"JUNK"):
    for name, middle in (
        ("exif", junk + app1(EX + tiff(3, 1, b"\0\6\0\0"))),
        ("two", app1(EX + tiff(3, 1, b"\0\6\0\0")[:12]) + junk + app1(EX + tiff(3, 1, b"\0\6\0\0")[12:])),
        ("xmp", junk + app1(b"http://ns.adobe.com/xap/1.0/\0<tiff:Orientation>6</tiff:Orientation>")),
    ):
        put(f"o_junk_{junk.hex()}_{name}.jpg", base[:jfif] + middle + base[jfif:])
for n in range(8, 27):
    both = app1(EX + tiff(3, 1, b"\0\6\0\0")[:n]) + app1(b"http://ns.adobe.com/xap/1.0/\0<tiff:Orientation>3<")
    put(f"o_cut_{n}.jpg", base[:2] + both + base[2:])
put("junk_before_eoi.jpg", base[:-2] + b"\1\2\3" + base[-2:])
put("no_eoi.jpg", base[:-2])
put("tail.jpg", base + b"trailing")
put("double.jpg", base + base)
for n in range(4, len(base), 37):
    put(f"cut_{n}.jpg", base[:n])
p = enc(im, "PNG")
for n in range(8, len(p), 13):
    put(f"cut_{n}.png", p[:n])

# --- JPEG of any sampling factors and colour markers: random blocks, with a small table of their own.
DC = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
DCS = list(range(12))
AC = [0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
ACS = [0x00, 0x01, 0x03]  # EOB, run0 size1, run0 size3


def codes(counts, syms):
    r = {}
    c = 0
    i = 0
    for l, n in enumerate(counts, 1):
        for _ in range(n):
            r[syms[i]] = (c, l)
            c += 1
            i += 1
        c <<= 1
    return r


D = codes(DC, DCS)
A = codes(AC, ACS)


def jpeg(w, h, fac, ids=(1, 2, 3, 4), adobe=None, jfif=True, rnd=random, steps=None):
    n = len(fac)
    mh = max(f[0] for f in fac)
    mv = max(f[1] for f in fac)
    b = ""
    pred = [0] * n

    def num(v, s):
        return "" if s == 0 else format(v if v > 0 else v + (1 << s) - 1, f"0{s}b")

    mx = -(-w // (8 * mh))
    my = -(-h // (8 * mv))
    if n == 1:
        mx = -(-w // 8)
        my = -(-h // 8)
        facs = [(1, 1)]
    else:
        facs = fac
    for _ in range(mx * my):
        for c, f in enumerate(facs):
            for _ in range(f[0] * f[1]):
                v = rnd.randint(-900, 900)
                d = v - pred[c]
                pred[c] = v
                s = abs(d).bit_length()
                k, l = D[s]
                b += format(k, f"0{l}b") + num(d, s)
                for _ in range(rnd.randint(0, 20)):
                    s = rnd.choice((1, 3))
                    d = rnd.choice([-1, 1]) * rnd.randint(1 << (s - 1), (1 << s) - 1)
                    k, l = A[s]
                    b += format(k, f"0{l}b") + num(d, s)
                k, l = A[0]
                b += format(k, f"0{l}b")
    b += "1" * (-len(b) % 8)
    data = int(b, 2).to_bytes(len(b) // 8, "big").replace(b"\xff", b"\xff\0") if b else b""
    seg = lambda m, d: bytes([0xFF, m]) + struct.pack(">H", len(d) + 2) + d
    o = b"\xff\xd8"
    if jfif:
        o += seg(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
    if adobe is not None:
        o += seg(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([adobe]))
    if steps:
        o += seg(0xDB, b"\x10" + struct.pack(">64H", *(rnd.choice(steps) for _ in range(64))))
    else:
        o += seg(0xDB, b"\0" + bytes([1] + [rnd.randint(1, 40) for _ in range(63)]))
    o += seg(
        0xC0,
        struct.pack(">BHHB", 8, h, w, n) + b"".join(bytes([ids[i], f[0] << 4 | f[1], 0]) for i, f in enumerate(fac)),
    )
    o += seg(0xC4, b"\0" + bytes(DC) + bytes(DCS)) + seg(0xC4, b"\x10" + bytes(AC) + bytes(ACS))
    o += seg(0xDA, bytes([n]) + b"".join(bytes([ids[i], 0]) for i in range(n)) + b"\0\x3f\0") + data + b"\xff\xd9"
    return o


random.seed(5)
F = [(a, b) for a in (1, 2, 3, 4) for b in (1, 2, 3, 4)]
for w, h in ((1, 1), (3, 5), (17, 9), (33, 31), (40, 24)):
    for f in F:
        put(f"sampling_{w}x{h}_1_{f}.jpg", jpeg(w, h, [f]))
    for _ in range(60):
        fac = [random.choice(F[:2] + F[4:6] + F) for _ in range(3)]
        if sum(a * b for a, b in fac) > 10:
            continue
        put(f"sampling_{w}x{h}_{fac}.jpg".replace(" ", ""), jpeg(w, h, fac))
    for fac in (
        [(1, 1), (2, 2), (2, 2)],
        [(2, 1), (1, 2), (1, 1)],
        [(1, 2), (2, 1), (1, 1)],
        [(1, 1), (2, 1), (2, 1)],
        [(1, 1), (1, 2), (1, 2)],
        [(1, 1), (2, 2), (1, 1)],
        [(4, 1), (1, 1), (1, 1)],
        [(1, 4), (1, 1), (1, 1)],
        [(2, 2), (2, 1), (2, 1)],
        [(2, 2), (1, 2), (1, 2)],
    ):
        put(f"sampling_{w}x{h}_{fac}.jpg".replace(" ", ""), jpeg(w, h, fac))
    for ids in ((82, 71, 66), (1, 2, 3), (0, 1, 2), (114, 103, 98)):
        for ad in (None, 0, 1, 2):
            for jf in (True, False):
                put(f"sampling_{w}x{h}_ids{ids[0]}_a{ad}_j{jf}.jpg", jpeg(w, h, [(1, 1)] * 3, ids, ad, jf))
    for ad in (None, 0, 1, 2):
        put(f"sampling_{w}x{h}_4_a{ad}.jpg", jpeg(w, h, [(1, 1)] * 4, adobe=ad, jfif=False))
        put(f"sampling_{w}x{h}_4s_a{ad}.jpg", jpeg(w, h, [(2, 2), (1, 1), (1, 1), (2, 2)], adobe=ad, jfif=False))
    put(f"sampling_{w}x{h}_2.jpg", jpeg(w, h, [(1, 1)] * 2))

# --- JPEG whose coefficients overflow 16 bits.
for number in range(60):
    steps = ([1, 40, 1000], [1000, 3000, 9000], [1, 32767, 32768, 65535], range(1, 65536))[number % 4]
    put(f"overflow_{number}.jpg", jpeg(40, 24, [(1, 1)], steps=steps))

# --- GIF with all sorts of things before its frame, and greys as its palette.
im = scene(5, 4).convert("L").point(lambda value: value % 8)
colors = rng.bytes(24)
greys = b"".join(bytes([value] * 3) for value in range(2))
frame = enc(im, "GIF")
frame = frame[frame.index(b",\0\0\0\0\5\0\4\0") :]
gce = lambda flags, color: b"!\xf9\4" + bytes([flags, 0, 0, color, 0])
for name, palette, size in (("colors", colors, 2), ("greys", greys, 0), ("none", b"", None)):
    for number, between in enumerate(
        (
            b"",
            b"!\x99\3abc\2de\0",
            b"!\xfe\0",
            b"\0\1\2",
            gce(1, 1) + gce(0, 0),
            gce(1, 0) + gce(1, 2),
            gce(1, 200),
            b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0" + gce(1, 5) + b"!\xfe\3abc\0",
        )
    ):
        screen = struct.pack("<HHBBB", 6, 5, 0 if size is None else 0x80 | size, 0, 0)
        put(f"g_{name}_{number}.gif", b"GIF89a" + screen + palette + between + frame)

# --- PNG with two texts under XMP's name, whole and damaged ones, one before the pixels and one behind them.
xmp = lambda o: b'<x a="0123456789" b="9876543210" tiff:Orientation="%d" c="0123456789"/>' % o
name = b"XML:com.adobe.xmp\0"
deflated = {o: zlib.compress(xmp(o)) for o in (3, 4, 5, 6, 7, 8)}
broken = deflated[5][:-1] + bytes([deflated[5][-1] ^ 1])
texts = {
    "plain": ch(b"tEXt", name + xmp(6)),
    "empty": ch(b"tEXt", name),
    "nozero": ch(b"tEXt", name[:-1]),
    "deflated": ch(b"zTXt", name + b"\0" + deflated[8]),
    "deflatedbroken": ch(b"zTXt", name + b"\0" + broken),
    "deflatednone": ch(b"zTXt", name),
    "unicode": ch(b"iTXt", name + b"\0\0en\0XMP\0" + xmp(3)),
    "unicodewrong": ch(b"iTXt", name + b"\0\0\0\0" + xmp(4) + b"\xff"),
    "unicodelanguage": ch(b"iTXt", name + b"\0\0\xff\0\0" + xmp(4)),
    "unicodeempty": ch(b"iTXt", name + b"\0\0\0\0"),
    "unicodeshort": ch(b"iTXt", name + b"\0\0\0"),
    "unicodedeflated": ch(b"iTXt", name + b"\1\0\0\0" + deflated[7]),
    "unicodemethod": ch(b"iTXt", name + b"\1\1\0\0" + deflated[7]),
    "unicodebroken": ch(b"iTXt", name + b"\1\0\0\0" + broken),
    "unicodewrongdeflated": ch(b"iTXt", name + b"\1\0\0\0" + zlib.compress(xmp(2) + b"\xff")),
    "exif": ch(b"tEXt", b"exif\0" + tiff(3, 1, b"\0\2\0\0")),
    "other": ch(b"tEXt", name[:-1] + b"2\0" + xmp(2)),
}
rows = b"".join(b"\0" + scene(11, 7).tobytes()[33 * y : 33 * y + 33] for y in range(7))
for (a, first), (b, second) in itertools.product(texts.items(), texts.items()):
    put(f"x_{a}_{b}.png", png(11, 7, 2, 8, rows, extra=first, after=second))
for cut in range(0, len(deflated[6]), 3):
    for kind, head in ((b"zTXt", b"\0"), (b"iTXt", b"\1\0\0\0")):
        extra = ch(b"iTXt", name + b"\0\0\0\0" + xmp(3)) + ch(kind, name + head + deflated[6][:cut])
        put(f"x_cut_{kind.decode()}_{cut}.png", png(11, 7, 2, 8, rows, extra=extra))

# --- What Pillow makes of them.
warnings.simplefilter("ignore")
cases = {}
for name in sorted(os.listdir(out)):
    if name == "cases.json":
        continue
    try:
        image = ImageOps.exif_transpose(Image.open(os.path.join(out, name))).convert("RGB")
        cases[name] = hashlib.sha256(np.asarray(image).tobytes()).hexdigest()
    except Exception:
        cases[name] = None
with open(os.path.join(out, "cases.json"), "w") as file:
    json.dump(cases, file)
print(len(cases), "files")
