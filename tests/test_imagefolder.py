"""Tests of meznet_helpers.imagefolder."""

import numpy as np
import pytest
from PIL import Image

from meznet_helpers.errors import MeznetError
from meznet_helpers.imagefolder import match, read_tree
from meznet_helpers.labels import from_names, imagenet, tiny_imagenet

PETS = from_names(["Hot dog", "Cat", "Crème brûlée", "a, b"], name="pets")


@pytest.fixture
def tree(tmp_path):
    """Make folders with images whose red value says in which order they were made."""

    def make(files):
        for red, file in enumerate(files):
            path = tmp_path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4 + red, 3), (red, 0, 0)).save(path)
        return tmp_path

    return make


def reds(images):
    return [int(image[0, 0, 0]) for image in images]


@pytest.mark.parametrize("progress", [False, True])
def test_read_tree(progress, tree):
    folder = tree(["hot_dog/b.png", "cat/1.PNG", "hot_dog/deep/a.bmp", "cat/2.png", "loose.png"])
    (folder / "cat" / "notes.txt").write_text("no image")
    (folder / ".hidden").mkdir()
    images, truth = read_tree(str(folder), PETS, progress=progress)
    assert images.names == ("cat/1.PNG", "cat/2.png", "hot_dog/b.png", "hot_dog/a.bmp")
    assert reds(images) == [1, 3, 0, 2]
    assert truth.tolist() == [1, 1, 0, 0] and truth.dtype == np.int64 and not images.errors


def test_files_of_one_name_in_several_folders(tree):
    folder = tree(["cat/x/1.png", "hot dog/1.png", "cat/y/1.png"])
    images, truth = read_tree(folder, PETS)
    assert images.names == ("cat/x/1.png", "cat/y/1.png", "hot dog/1.png")
    assert truth.tolist() == [1, 1, 0]


def test_truth_skips_what_cannot_be_read(tree):
    folder = tree(["cat/b.png", "hot dog/a.png", "cat/d.png"])
    for bad in ("cat/a.png", "cat/c.png", "hot dog/b.png"):
        (folder / bad).write_bytes(b"nothing")
    images, truth = read_tree(folder, PETS)
    assert images.names == ("cat/b.png", "cat/d.png", "hot dog/a.png")
    assert truth.tolist() == [1, 1, 0] and reds(images) == [0, 2, 1]
    assert len(images.errors) == 3 and "c.png" in str(images.errors[1])


def test_all_unreadable(tree, tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.png").write_bytes(b"")
    images, truth = read_tree(tmp_path, PETS)
    assert len(images) == 0 and truth.shape == (0,) and truth.dtype == np.int64


@pytest.mark.parametrize("spell", [str, str.lower, str.upper, lambda name: name.replace(" ", "_")])
def test_names_and_ids_match(spell):
    space = tiny_imagenet()
    assert match(space.ids, space) == list(range(200))
    assert match(map(spell, space.names), space) == list(range(200))
    assert match(map(spell, PETS.names), PETS) == match(PETS.ids, PETS) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("names", "space", "said"),
    [
        (["kat"], PETS, 'folder "kat" is no label of pets; near: Cat.'),
        (["zzz"], PETS, 'folder "zzz" is no label of pets.'),
        (["cat", "CAT"], PETS, 'folders "cat" and "CAT" stand for the same label; join them.'),
        (
            ["crane"],
            imagenet(),
            'folder "crane" may stand for several labels; call it n02012849 or n03126707.',
        ),
    ],
)
def test_folders_that_do_not_match(names, space, said):
    with pytest.raises(MeznetError) as error:
        match(names, space)
    assert str(error.value) == said


def test_wrong_trees(tree, tmp_path):
    with pytest.raises(MeznetError, match=r"gone is no folder; name one that holds"):
        read_tree(tmp_path / "gone", PETS)
    with pytest.raises(MeznetError, match=r"holds no folders; it needs one for each label"):
        read_tree(tmp_path, PETS)
    folder = tree(["cat/1.png"])
    (folder / "hot-dog").mkdir()
    with pytest.raises(MeznetError, match=r"hot-dog holds no images; put some there or remove it"):
        read_tree(folder, PETS)
    with pytest.raises(MeznetError, match=r"1\.png is no folder"):
        read_tree(folder / "cat" / "1.png", PETS)
