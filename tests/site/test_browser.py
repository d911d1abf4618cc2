"""The built site, opened as a reader opens it: served, and as files from a memory stick."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

PHONE = {"width": 390, "height": 844}
SERIOUS = {"serious", "critical"}
# The page is still, and every picture has come or failed.
SETTLE = """async () => {
    for (const image of document.images) image.loading = "eager";
    await Promise.all([...document.images].map((image) => image.decode().catch(() => null)));
}"""
PICTURES = """() => [...document.images].map((image) => ({
    source: (image.getAttribute("src") || "").slice(0, 80),
    alt: (image.getAttribute("alt") || "").trim(),
    decoration: !!image.closest('[role="presentation"], [role="none"], [aria-hidden="true"]'),
    width: image.naturalWidth,
}))"""
UNFOLD = """() => {
    for (const one of document.querySelectorAll("details")) one.open = true;
    for (const one of document.querySelectorAll(".callout-collapse")) one.classList.add("show");
}"""
GROUNDS = """() => [...document.querySelectorAll(".gt_table, .gt_table td, .gt_table th")].map(
    (element) => getComputedStyle(element).backgroundColor)"""
WIDE = """() => {
    const page = document.scrollingElement;
    const over = [...document.body.querySelectorAll("*")].filter(
        (element) => element.getBoundingClientRect().right > window.innerWidth + 1);
    const named = over.slice(0, 3).map((element) => element.outerHTML.slice(0, 90));
    return [page.scrollWidth, window.innerWidth, named];
}"""


@pytest.fixture(scope="module")
def built(root: Path) -> Path:
    """The folder of the book's own site, built where something has changed since the last time."""
    from meznet_helpers.site import build

    return build(root).site


@pytest.fixture(scope="module")
def served(built: Path, serving_folder: Callable[[Path], AbstractContextManager]) -> Iterator[str]:
    """The address of a server of the site on this machine."""
    with serving_folder(built) as server:
        yield server.url.rstrip("/")


@pytest.fixture(scope="module")
def facts(built: Path) -> dict:
    """What build.json says."""
    return json.loads((built / "build.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def chapters(facts: dict) -> list[str]:
    """The pages that somebody wrote: the preface and the chapters."""
    pages = [page for page in facts["pages"] if page == "index.html" or "chapters/" in page]
    assert len(pages) > 1
    return pages


@pytest.fixture(scope="module", params=["http", "file"])
def home(request: pytest.FixtureRequest, built: Path) -> str:
    """The address of the site: on a server, and as files."""
    return request.getfixturevalue("served") if request.param == "http" else built.as_uri()


@pytest.fixture
def visit(browser) -> Iterator[Callable[..., SimpleNamespace]]:
    """Open a page; what comes back holds the page and everything that went wrong with it."""
    contexts = []

    def open_page(url: str, **settings: object) -> SimpleNamespace:
        context = browser.new_context(**settings)
        context.set_default_timeout(120_000)
        contexts.append(context)
        page, wrong = context.new_page(), []
        allowed = urlsplit(url)[:2]

        def on_request(request) -> None:
            address = urlsplit(request.url)
            if address.scheme not in ("data", "blob") and address[:2] != allowed:
                wrong.append(f"asks another host: {request.url}")

        def on_console(message) -> None:
            if message.type in ("error", "warning"):
                wrong.append(f"console: {message.text} ({message.location['url']})")

        page.on("request", on_request)
        page.on("console", on_console)
        page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
        page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
        page.on(
            "response",
            lambda reply: reply.status >= 400 and wrong.append(f"{reply.status}: {reply.url}"),
        )
        page.goto(url, wait_until="load")
        page.evaluate(SETTLE)
        return SimpleNamespace(page=page, wrong=wrong)

    yield open_page
    for context in contexts:
        context.close()


def test_pages_load_clean(home: str, facts: dict, visit) -> None:
    """No page logs an error, misses a file or asks another host."""
    problems = []
    for name in facts["pages"]:
        problems += [f"{name}: {line}" for line in visit(f"{home}/{name}").wrong]
    assert not problems, "\n".join(problems)


def test_pictures_show_and_are_described(home: str, facts: dict, visit) -> None:
    """Every picture has pixels, and says in words what it shows."""
    problems, seen = [], 0
    for name in facts["pages"]:
        for picture in visit(f"{home}/{name}").page.evaluate(PICTURES):
            seen += 1
            if not picture["width"]:
                problems.append(f"{name}: missing picture {picture['source']}")
            if not picture["alt"] and not picture["decoration"]:
                problems.append(f"{name}: no alt text on {picture['source']}")
    assert seen
    assert not problems, "\n".join(problems)


def test_search_finds_mobilenet(home: str, facts: dict, visit) -> None:
    """A reader who looks for MobileNet finds the chapter about it."""
    if facts["renderer"] == "sphinx":
        seen = visit(f"{home}/search.html?q=MobileNet")
        hits = seen.page.locator("#search-results li a")
    else:
        seen = visit(f"{home}/index.html")
        seen.page.locator("#quarto-search button, #quarto-search input").first.click()
        seen.page.locator("input.aa-Input").last.fill("MobileNet")
        hits = seen.page.locator(".aa-Item a")
    hits.first.wait_for()
    links = [hit.get_attribute("href") or "" for hit in hits.all()]
    assert any("01-keras-applications" in link for link in links), links
    assert not seen.wrong, seen.wrong


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", PHONE["width"])]
)
def test_accessible(served: str, chapters: list[str], visit, scheme: str, width: int) -> None:
    """The axe rules find nothing serious, by day, by night and on a phone."""
    from axe_playwright_python.sync_playwright import Axe

    problems = []
    for name in chapters:
        window = {"width": width, "height": PHONE["height"]}
        settings = {"color_scheme": scheme, "reduced_motion": "reduce", "viewport": window}
        page = visit(f"{served}/{name}", **settings).page
        page.evaluate(UNFOLD)
        for rule in Axe().run(page).response["violations"]:
            if rule["impact"] in SERIOUS:
                where = "; ".join(node["html"][:160] for node in rule["nodes"][:3])
                problems.append(
                    f"{name}: {rule['id']} ({rule['impact']}, {len(rule['nodes'])}): {where}"
                )
    assert not problems, "\n".join(problems)


def test_ids_are_unique(served: str, chapters: list[str], visit) -> None:
    """No two elements of a page's main part have the same id."""
    for name in chapters:
        page = visit(f"{served}/{name}").page
        ids = page.evaluate("() => [...document.querySelectorAll('main [id]')].map((e) => e.id)")
        twice = sorted({one for one in ids if ids.count(one) > 1})
        assert not twice, f"{name}: {twice}"


def test_tables_follow_the_page(served: str, chapters: list[str], visit) -> None:
    """By night a table is dark like the page around it."""
    seen = visit(f"{served}/{chapters[0]}", color_scheme="dark").page.evaluate(GROUNDS)
    assert seen and set(seen) == {"rgba(0, 0, 0, 0)"}, seen


def test_fits_a_phone(served: str, chapters: list[str], visit) -> None:
    """At 390 pixels wide no page scrolls sideways."""
    problems = []
    for name in chapters:
        page = visit(f"{served}/{name}", viewport=PHONE, is_mobile=True, has_touch=True).page
        wide, window, culprits = page.evaluate(WIDE)
        if wide > PHONE["width"] or window > PHONE["width"]:
            problems.append(f"{name}: {max(wide, window)} px wide: {culprits}")
    assert not problems, "\n".join(problems)
