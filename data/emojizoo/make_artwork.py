"""Draw Emoji Zoo's artwork from seven open icon sets: `artwork.zip`, `emoji.csv`, `styles.csv`.

    npm install --ignore-scripts @iconify-json/{noto,noto-v1,twemoji,openmoji,emojione} \
        @iconify-json/fluent-emoji{,-flat} unicode-emoji-json emojibase-data
    pip install resvg-py pillow
    python data/emojizoo/make_artwork.py node_modules

The same packages give the same files; `styles.csv` says which versions were drawn.
"""

import argparse
import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import resvg_py
from PIL import Image

HERE = Path(__file__).parent
SIDE = 128  # pixels of a drawing
FEWEST = 5  # styles an emoji must have; two of the seven sets are no longer added to
STYLES = (
    "noto",
    "noto-v1",
    "twemoji",
    "openmoji",
    "emojione",
    "fluent-emoji",
    "fluent-emoji-flat",
)
GROUPS = ("Animals & Nature", "Food & Drink", "Travel & Places", "Activities", "Objects")
# Neither a whole animal nor free of animals; a net that is to see no animal must not see these.
PARTLY = {
    "guide-dog",
    "service-dog",
    "pig-nose",
    "paw-prints",
    "feather",
    "wing",
    "hatching-chick",
    "front-facing-baby-chick",
    "spiral-shell",
    "coral",
    "oyster",
    "spider-web",
    "microbe",
    "empty-nest",
    "nest-with-eggs",
    "poultry-leg",
    "fried-shrimp",
    "sushi",
    "fish-cake-with-swirl",
    "bento-box",
    "shallow-pan-of-food",
    "carousel-horse",
    "horse-racing",
    "fishing-pole",
    "carp-streamer",
    "teddy-bear",
    "chess-pawn",
    "mouse-trap",
    "piggy-bank",
}
COLUMNS = ("slug", "name", "group", "subgroup", "animal", "keywords", "code_point", "styles")


def slug_of(entry: dict[str, Any]) -> str:
    """Spell an emoji's slug as the icon sets do: `woman-s-hat` is their `womans-hat`."""
    slug = entry["slug"].replace("_", "-")
    return slug.replace("-s-", "s-").replace("o-clock", "oclock")


def emoji(packages: Path) -> Iterator[dict[str, Any]]:
    """Yield a row of `emoji.csv` for each emoji of the groups, styles still empty."""
    names = json.loads(text(packages / "unicode-emoji-json" / "data-by-emoji.json"))
    english = packages / "emojibase-data" / "en"
    subgroups = {
        group["order"]: group["key"]
        for group in json.loads(text(english / "messages.json"))["subgroups"]
    }
    more = {row["emoji"].rstrip("\ufe0f"): row for row in json.loads(text(english / "data.json"))}
    for character, entry in names.items():
        if entry["group"] in GROUPS:
            known = more[character.rstrip("\ufe0f")]
            slug, subgroup = slug_of(entry), subgroups[known["subgroup"]]
            whole = "yes" if subgroup.startswith("animal-") else "no"
            yield {
                "slug": slug,
                "name": entry["name"],
                "group": entry["group"],
                "subgroup": subgroup,
                "animal": "partly" if slug in PARTLY else whole,
                "keywords": "; ".join(known["tags"]),
                "code_point": "-".join(f"{ord(letter):04X}" for letter in character),
            }


def icon(icons: dict[str, Any], slug: str) -> str | None:
    """Return the SVG of an emoji in one icon set, or None."""
    parent = icons.get("aliases", {}).get(slug, {}).get("parent", slug)
    if parent not in icons["icons"]:
        return None
    drawing = {"left": 0, "top": 0, "width": icons["width"], "height": icons["height"]}
    drawing |= icons["icons"][parent]
    box = f"{drawing['left']} {drawing['top']} {drawing['width']} {drawing['height']}"
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{box}">{drawing["body"]}</svg>'
    )


def drawn(svg: str) -> bytes:
    """Draw an SVG as WebP with alpha: without loss, or with little where that is much smaller."""
    png = resvg_py.svg_to_bytes(svg_string=svg, width=SIDE, height=SIDE)
    picture, encoded = Image.open(io.BytesIO(bytes(png))), []
    for options in ({"lossless": True, "quality": 100}, {"quality": 90}):
        file = io.BytesIO()
        picture.save(file, "WEBP", method=4, **options)
        encoded.append(file.getvalue())
    return min(encoded, key=len)


def text(file: Path) -> str:
    """Read a text file."""
    return file.read_text(encoding="utf-8")


def write_csv(file: Path, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    """Write rows as CSV."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def style_row(folder: Path, style: str) -> dict[str, str]:
    """Describe one icon set: who drew it, under which licence, and which version is used."""
    info = json.loads(text(folder / "info.json"))
    package = json.loads(text(folder / "package.json"))
    return {
        "slug": style,
        "name": info["name"],
        "author": info["author"]["name"],
        "source": info["author"]["url"],
        "license": info["license"]["spdx"],
        "license_url": info["license"]["url"],
        "package": f"{package['name']} {package['version']}",
    }


def main() -> None:
    """Parse the command line, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packages", type=Path, help="the folder node_modules")
    packages = parser.parse_args().packages
    folders = {style: packages / "@iconify-json" / style for style in STYLES}
    sets = {style: json.loads(text(folders[style] / "icons.json")) for style in STYLES}
    rows = []
    with zipfile.ZipFile(HERE / "artwork.zip", "w", zipfile.ZIP_STORED) as archive:
        for row in emoji(packages):
            svgs = {style: icon(icons, row["slug"]) for style, icons in sets.items()}
            styles = [style for style, svg in svgs.items() if svg]
            if len(styles) >= FEWEST:
                rows.append(row | {"styles": "; ".join(styles)})
                for style in styles:
                    name = zipfile.ZipInfo(f"{style}/{row['slug']}.webp")  # dated 1980, always
                    archive.writestr(name, drawn(svgs[style]))
    write_csv(HERE / "emoji.csv", COLUMNS, rows)
    described = [style_row(folders[style], style) for style in STYLES]
    write_csv(HERE / "styles.csv", tuple(described[0]), described)


if __name__ == "__main__":
    main()
