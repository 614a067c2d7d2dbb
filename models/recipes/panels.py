"""Rendered "smart home panel" screenshots with the bullets that describe them.

A panel is a SIZE x SIZE picture with a grid of 2 x 4 slots; some of them hold a tile with a label
("KITCHEN LIGHT") and a value ("ON").  The bullets name the tiles in reading order.  The meeting
generator draws its screens with the same function that drew the training pictures.
"""
try:
    from PIL import Image, ImageDraw, ImageFont
except ImportError as error:
    raise SystemExit("Pillow not found (install python3-pil)") from error

import grammar

SIZE, PATCH = 168, 14                    # 12 x 12 patches of the vision model
COLUMNS, ROWS = 2, 4
TILES_MAX = 6
# Two bold faces at fixed sizes: six faces at random sizes and places were not learned in minutes.
FACES = ["DejaVuSans-Bold.ttf", "DejaVuSansCondensed-Bold.ttf"]
LABEL_SIZE, VALUE_SIZE, FONT_SIZE_MIN = 10, 14, 7
_fonts = {}


def font(face, size):
    """A font of the system's folders, opened once."""
    if (face, size) not in _fonts:
        try:
            _fonts[face, size] = ImageFont.truetype(face, size)
        except OSError as error:
            raise SystemExit(f"font {face} not found (install fonts-dejavu-core; the training "
                             "also needs fonts-dejavu-extra)") from error
    return _fonts[face, size]


def _fitting(face, size, text, width):
    """The face in the largest size, from `size` down, in which the text is at most `width` wide."""
    while size > FONT_SIZE_MIN and font(face, size).getlength(text) > width:
        size -= 1
    return font(face, size)


def _shade(rng, low, high):
    return tuple(rng.randint(low, high) for _ in range(3))


def random_tiles(rng, wanted_pairs=False):
    """1-6 different things with values, [(thing, value)].

    No two neighbours are a held pair (grammar.pair_is_held); with `wanted_pairs` the 1st and 2nd,
    3rd and 4th, ... are one.
    """
    count = rng.randint(1, TILES_MAX)
    while True:
        tiles = [(thing, grammar.random_value(rng, thing))
                 for thing in rng.sample(grammar.THINGS, count)]
        bullets = [grammar.bullet(*tile) for tile in tiles]
        held = [grammar.pair_is_held(a, b) for a, b in zip(bullets, bullets[1:])]
        if (all(held[0::2]) if wanted_pairs else not any(held)):
            return tiles


def draw(rng, tiles, faces=None):
    """-> (image, slots): the panel with `tiles` in reading order and the slot (0..7) of each tile.

    `faces` limits the choice of fonts: the condensed one is not in Debian's fonts-dejavu-core.
    """
    dark = rng.random() < 0.5
    background = _shade(rng, 0, 60) if dark else _shade(rng, 190, 255)
    image = Image.new("RGB", (SIZE, SIZE), background)
    canvas = ImageDraw.Draw(image)
    face = rng.choice(faces or FACES)
    shift = rng.randint(-1, 1), rng.randint(-1, 1)
    slots = sorted(rng.sample(range(COLUMNS * ROWS), len(tiles)))
    for slot, (thing, value) in zip(slots, tiles):
        _draw_tile(rng, canvas, dark, face, shift, slot, thing, value)
    return image, slots


def _draw_tile(rng, canvas, dark, face, shift, slot, thing, value):
    """One rounded box with its label and its value."""
    width, height = SIZE // COLUMNS, SIZE // ROWS
    left, top = slot % COLUMNS * width, slot // COLUMNS * height
    margin = rng.choice([1, 2])
    (dx, dy) = shift
    box = [left + margin + dx, top + margin + dy,
           left + width - margin - 1 + dx, top + height - margin - 1 + dy]
    tile = _shade(rng, 30, 110) if dark else _shade(rng, 150, 240)
    ink = _shade(rng, 225, 255) if dark else _shade(rng, 0, 30)
    canvas.rounded_rectangle(box, rng.choice([0, 3, 6]), fill=tile)
    label = thing.upper()
    shown = value.upper().replace("MINUTES", "MIN").replace("HOURS", "H")
    room = width - 2 * margin - 6
    x, y = left + margin + dx + 3, top + margin + dy + 2
    canvas.text((x, y), label, ink, _fitting(face, LABEL_SIZE, label, room))
    canvas.text((x, y + 13), shown, ink, _fitting(face, VALUE_SIZE, shown, room))
