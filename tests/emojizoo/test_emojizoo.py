"""Tests of meznet_helpers.emojizoo."""

import csv
import hashlib
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from meznet_helpers import emojizoo
from meznet_helpers.assets import profile
from meznet_helpers.emojizoo import HARD, MILD, artwork, compose
from meznet_helpers.errors import MeznetError

FOLDER = profile.data() / "emojizoo"
STYLES = emojizoo.styles().slug.tolist()
TABLE = emojizoo.table().set_index("slug")


def pixels(dataset):
    return np.stack(dataset.images.arrays)


# ---- what is drawn


def test_each_drawing_is_there_and_none_besides():
    with zipfile.ZipFile(FOLDER / "artwork.zip") as archive:
        names = archive.namelist()
    expected = {f"{style}/{slug}.webp" for slug, row in TABLE.iterrows() for style in row.styles}
    assert len(names) == len(set(names)) and set(names) == expected


def test_table():
    assert TABLE.index.is_unique and TABLE.code_point.is_unique
    for slug, row in TABLE.iterrows():
        assert set(row.styles) <= set(STYLES) and len(row.styles) >= 5, slug
        assert row.animal in {"yes", "no", "partly"} and row.keywords, slug
        if row.subgroup.startswith("animal-"):
            assert row.animal != "no", slug
        else:
            assert row.animal != "yes", slug
    cat = TABLE.loc["cat-face"]
    assert "".join(chr(int(each, 16)) for each in cat.code_point.split("-")) == "🐱"
    assert (cat["name"], cat.group, "kitten" in cat.keywords) == (
        "cat face",
        "Animals & Nature",
        True,
    )


def test_animals_hide_in_no_thing():
    """Keywords of what counts as free of animals name none, but for figures of speech."""
    words = {"cat", "dog", "horse", "fish", "bird", "bear", "mouse", "pig", "cow", "bug", "snake"}
    suspects = {
        slug
        for slug, row in TABLE.query("animal == 'no'").iterrows()
        if words & {*" ".join(row.keywords).replace("-", " ").split(), *slug.split("-")}
    }
    assert suspects == {"computer-mouse", "honey-pot", "hot-dog"}


def test_drawings_fill_their_square():
    """Each has something in it, reaches near an edge, and is transparent somewhere."""
    rng = np.random.default_rng(0)
    for slug in rng.choice(TABLE.index, 60, replace=False):
        for style in TABLE.styles[slug]:
            picture = emojizoo.drawing(slug, style)
            assert (picture.mode, picture.size) == ("RGBa", (artwork.SIDE,) * 2)
            alpha = np.asarray(picture)[:, :, 3]
            box = picture.getchannel("a").getbbox()
            assert (alpha > 200).mean() > 0.02, (slug, style)
            assert max(box[2] - box[0], box[3] - box[1]) > 0.5 * artwork.SIDE, (slug, style)


def test_styles_name_author_and_license():
    with (FOLDER / "styles.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert len(rows) == 7
    for row in rows:
        assert all(row.values()), row
        for key in ("slug", "author", "license", "source"):
            assert row[key] in card, row[key]


def test_unknown_emoji_and_styles():
    with pytest.raises(MeznetError, match='has no "catface"; did you mean "cat-face"'):
        emojizoo.drawing("catface", "noto")
    with pytest.raises(MeznetError, match='"zebra" is not drawn in "noto-v1"; there are noto, '):
        emojizoo.drawing("zebra", "noto-v1")


def test_missing_files(tmp_path, monkeypatch):
    monkeypatch.setattr(profile, "data", lambda: tmp_path)
    with pytest.raises(MeznetError, match=r"styles\.csv is missing; check the repository out"):
        emojizoo.styles()


# ---- composition


def test_same_seed_same_bytes():
    """The digest holds on every machine: no step depends on how it rounds."""
    digest = hashlib.sha256()
    for hard in (False, True):
        for size in (64, 96):
            classes = ["cat-face", "jellyfish", "rocket", "hot-dog"]
            digest.update(pixels(emojizoo.render(classes, 25, size=size, seed=7, hard=hard)))
    assert digest.hexdigest() == DIGEST


DIGEST = "5e4c12cc6a4ac7b55560e841e080dbebf82b93dd225a04ad3aeea5dc96dac814"


def test_an_image_depends_on_its_own_class_and_place_only():
    one = emojizoo.render(["cat-face"], 5, size=32, seed=1)
    more = emojizoo.render(["rocket", "cat-face"], 8, size=32, seed=1)
    np.testing.assert_array_equal(pixels(one), pixels(more)[8:13])
    assert more.images.names[8:13] == one.images.names
    other = emojizoo.render(["cat-face"], 5, size=32, seed=2)
    assert (pixels(other) != pixels(one)).any(axis=(1, 2, 3)).all()
    assert len({each.tobytes() for each in pixels(more)}) == 16


def still(**changes):
    """A variant without any chance but the background's."""
    facts = {"fill": (1.0, 1.0), "rotation": 0, "shift": 0, "darkest": 255, "textures": False}
    return emojizoo.Variant(**facts | {"tint": 0, "noise": 0, "covered": 0} | changes)


class Fixed:
    """Random numbers that are not random: `random` gives one value, `integers` the lowest."""

    def __init__(self, value):
        self.value = value

    def random(self):
        return self.value

    def integers(self, low, high=None, size=None, dtype=np.int64):
        low = 0 if high is None else low
        return np.full(size, low, dtype) if size is not None else dtype(low)


@pytest.mark.parametrize("size", [64, 96, 128])
@pytest.mark.parametrize("value", [0.25, 0.75])
def test_upright_composition_is_pillows_own(size, value):
    """Scaled, mirrored above a half, and laid on white, as Pillow alone does it."""
    drawing = emojizoo.drawing("fox", "noto")
    found = compose(drawing, Fixed(value), size=size, variant=still())
    small = drawing.resize((size, size), Image.Resampling.BILINEAR).convert("RGBA")
    if value > 0.5:
        small = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    expected = Image.new("RGBA", (size, size), "white")
    expected.alpha_composite(small)
    np.testing.assert_allclose(found, np.asarray(expected)[:, :, :3].astype(int), atol=3)


def test_rotation_is_pillows_own():
    drawing = emojizoo.drawing("fox", "noto")
    found = compose(drawing, Fixed(0.0), size=128, variant=still(rotation=30))
    turned = drawing.convert("RGBA").rotate(30, Image.Resampling.BILINEAR)
    expected = Image.new("RGBA", (128, 128), "white")
    expected.alpha_composite(turned)
    difference = np.abs(found.astype(int) - np.asarray(expected)[:, :, :3])
    assert np.quantile(difference, 0.99) <= 6


def test_shift_moves_the_drawing():
    drawing = emojizoo.drawing("fox", "noto")
    straight = compose(drawing, Fixed(0.0), size=128, variant=still())
    moved = compose(drawing, Fixed(0.0), size=128, variant=still(shift=0.125))
    np.testing.assert_array_equal(moved[:-16, :-16], straight[16:, 16:])
    assert (moved[-16:] == 255).all() and (moved[:, -16:] == 255).all()


def edges(images):
    """Return how many pixels each drawing's box is wide and high, against a plain background."""
    return [Image.fromarray(255 - image).getbbox() for image in images]


@pytest.mark.parametrize("variant", [MILD, HARD])
def test_drawings_fill_what_the_variant_says(variant):
    full = Image.new("RGBa", (128, 128), (0, 0, 0, 255))
    rng = np.random.default_rng(0)
    flat = still(fill=variant.fill)
    boxes = edges([compose(full, rng, size=100, variant=flat) for _ in range(400)])
    sides = np.array([box[2] - box[0] for box in boxes]) / 100
    low, high = variant.fill
    assert abs(sides.min() - low) <= 0.02 and abs(sides.max() - high) <= 0.02
    assert abs(sides.mean() - (low + high) / 2) < 0.02


def test_tint_and_noise_stay_within_their_bounds():
    empty = Image.new("RGBa", (8, 8))
    rng = np.random.default_rng(0)
    gray = still(darkest=255, tint=0.25, noise=0)
    tinted = np.stack([compose(empty, rng, size=8, variant=gray) for _ in range(300)])
    assert tinted.min() == 255 * 192 // 256 and tinted.max() == 255
    assert (np.ptp(tinted, axis=(1, 2)) == 0).all()  # one factor for each channel of an image
    noisy = compose(empty, rng, size=96, variant=still(noise=24))
    values, counts = np.unique(noisy, return_counts=True)
    assert values.min() == 255 - 24
    assert abs(counts[values < 255].mean() / noisy.size - 1 / 49) < 0.001


def test_covered_images_have_a_rectangle():
    empty = Image.new("RGBa", (8, 8))
    rng = np.random.default_rng(0)
    variant = still(covered=0.5)
    images = [compose(empty, rng, size=64, variant=variant) for _ in range(200)]
    boxes = [box for box in edges(images) if box]
    assert 70 < len(boxes) < 130  # every other one
    sides = np.array([(box[2] - box[0], box[3] - box[1]) for box in boxes])
    assert sides.min() == 16 and sides.max() == 32


def test_mild_backgrounds_are_light_and_hard_ones_are_not():
    empty = Image.new("RGBa", (8, 8))
    for variant, darkest in ((MILD, 160), (HARD, 0)):
        rng = np.random.default_rng(0)
        images = [compose(empty, rng, size=32, variant=variant) for _ in range(100)]
        assert darkest <= np.min(images) < darkest + 20


# ---- sets


@pytest.mark.parametrize("hard", [False, True])
def test_classes_are_balanced_by_style(hard):
    zoo = emojizoo.render({"pet": ["cat-face", "dog-face"], "far": ["rocket"]}, (28, 15), size=8)
    assert zoo.labels.ids == ("pet", "far") and zoo.counts().tolist() == [28, 15]
    styles = np.array(zoo.groups)
    for label, least, most in ((0, 4, 4), (1, 2, 3)):
        counts = [(styles[zoo.truth == label] == style).sum() for style in STYLES]
        assert min(counts) == least and max(counts) == most
    for name, label, style in zip(zoo.images.names, zoo.truth, zoo.groups, strict=True):
        ids, rest = name.split("/")
        slug = rest.removesuffix(rest[-4:]).removesuffix(f"-{style}")
        assert ids == zoo.labels.ids[label] and style in TABLE.styles[slug]


def test_named_sets():
    faces, animals = emojizoo.faces(size=8), emojizoo.animals(size=8)
    assert faces.labels.ids == ("cat", "dog", "wild") and faces.counts().tolist() == [100] * 3
    wild = {name.split("/")[1].split("-")[0] for name in faces.images.names[200:]}
    assert {"fox", "lion", "polar", "tiger", "wolf"} <= wild and not wild & {"cat", "dog"}
    assert animals.counts().tolist() == [60] * 90
    assert set(TABLE.animal[list(animals.labels.ids)]) == {"yes"}
    fewest = TABLE.styles[list(animals.labels.ids)].map(len)
    assert (fewest == 7).sum() == (TABLE.query("animal == 'yes'").styles.map(len) == 7).sum()
    either = emojizoo.animal_or_not(size=8)
    slugs = [name.split("/")[1] for name in either.images.names]
    drawn = {slug: any(each.startswith(f"{slug}-") for each in slugs[282:]) for slug in TABLE.index}
    assert either.counts().tolist() == [282, 452] and not drawn["cat-face"] and not drawn["wing"]


def test_bad_arguments():
    for call, words in (
        (lambda: emojizoo.render([], 1), "classes is empty"),
        (lambda: emojizoo.render(["rocket"], 0), "must be positive"),
        (lambda: emojizoo.render(["rocket"], (1, 2)), "one for each of the 1 classes"),
        (lambda: emojizoo.render(["rocket"], 1, size=0), "must be positive"),
        (lambda: emojizoo.render(["rokcet"], 1), 'has no "rokcet"; did you mean "rocket"'),
        (lambda: emojizoo.render(["rocket", "rocket"], 1), '"rocket" comes twice'),
    ):
        with pytest.raises(MeznetError, match=words):
            call()


@pytest.mark.budget
def test_time_of_rendering(report):
    """500 pictures a second are asked for; decoding them from PNG is the measure of a machine."""
    import time

    zoo = emojizoo.render(["cat-face", "fox"], 40, size=96)  # drawings are decoded now
    files = []
    for image in zoo.images:
        files.append(io.BytesIO())
        Image.fromarray(image).save(files[-1], "PNG")
    best = {"render": np.inf, "png": np.inf}
    for _ in range(5):
        start = time.perf_counter()
        emojizoo.render(["cat-face", "fox"], 40, size=96)
        best["render"] = min(best["render"], time.perf_counter() - start)
        start = time.perf_counter()
        for file in files:
            np.asarray(Image.open(file))
        best["png"] = min(best["png"], time.perf_counter() - start)
    report("Emoji Zoo: pictures rendered a second", 80 / best["render"], at_least=500)
    report("Emoji Zoo: rendering / decoding PNG", best["render"] / best["png"], at_most=4)
