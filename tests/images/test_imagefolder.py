"""Tests of meznet_helpers.images.folders."""

import errno

import numpy as np
import pytest
from PIL import Image

from meznet_helpers.errors import MeznetError
from meznet_helpers.images import Dataset, Images, match, read_tree, write_tree
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
    found = read_tree(str(folder), PETS, progress=progress)
    images, truth = found.images, found.truth
    assert images.names == ("cat/1.PNG", "cat/2.png", "hot_dog/b.png", "hot_dog/a.bmp")
    assert reds(images) == [1, 3, 0, 2]
    assert truth.tolist() == [1, 1, 0, 0] and truth.dtype == np.int64 and not images.errors


def test_files_of_one_name_in_several_folders(tree):
    folder = tree(["cat/x/1.png", "hot dog/1.png", "cat/y/1.png"])
    found = read_tree(folder, PETS)
    images, truth = found.images, found.truth
    assert images.names == ("cat/x/1.png", "cat/y/1.png", "hot dog/1.png")
    assert truth.tolist() == [1, 1, 0]


def test_truth_skips_what_cannot_be_read(tree):
    folder = tree(["cat/b.png", "hot dog/a.png", "cat/d.png"])
    for bad in ("cat/a.png", "cat/c.png", "hot dog/b.png"):
        (folder / bad).write_bytes(b"nothing")
    found = read_tree(folder, PETS)
    images, truth = found.images, found.truth
    assert images.names == ("cat/b.png", "cat/d.png", "hot dog/a.png")
    assert truth.tolist() == [1, 1, 0] and reds(images) == [0, 2, 1]
    assert len(images.errors) == 3 and "c.png" in str(images.errors[1])


def test_all_unreadable(tree, tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.png").write_bytes(b"")
    found = read_tree(tmp_path, PETS)
    images, truth = found.images, found.truth
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
        (["kat"], PETS, 'folder "kat" is no label of pets; did you mean "cat"?'),
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


def test_labels_from_the_folders(tree):
    folder = tree(["Polar bear/1.png", "cat/1.png", "cat/2.png"])
    found = read_tree(folder)
    assert found.labels.names == ("Polar bear", "cat") and found.labels.name == folder.name
    assert found.labels.ids == ("polar-bear", "cat") and found.truth.tolist() == [0, 1, 1]
    assert found.images.names == ("Polar bear/1.png", "cat/1.png", "cat/2.png")


def test_labels_from_wrong_folders(tree):
    folder = tree(["cat/1.png"])
    with pytest.raises(MeznetError, match=r"holds one folder, cat; it needs two or more"):
        read_tree(folder)
    with pytest.raises(MeznetError, match=r'"Cat" and "cat" are the same label'):
        read_tree(tree(["cat/1.png", "Cat/1.png"]))


def test_written_trees_come_back(tmp_path):
    rng = np.random.default_rng(0)
    arrays = rng.integers(0, 256, (5, 6, 7, 3), np.uint8)
    names = ["cat/1", "cat/deep/2", "hot-dog/1", "3", "cat/1.png"]
    written = Dataset(Images(arrays, names), [1, 1, 0, 0, 1], PETS)
    folder = write_tree(written, tmp_path / "new")
    found = read_tree(folder, PETS)
    files = ["cat/1.png", "cat/1.png.png", "cat/deep-2.png", "hot-dog/1.png", "hot-dog/3.png"]
    assert list(found.images.names) == files and found.truth.tolist() == [1, 1, 1, 0, 0]
    np.testing.assert_array_equal(np.stack(found.images.arrays), arrays[[0, 4, 1, 2, 3]])
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_trees_are_not_overwritten(tmp_path):
    pets = Dataset(Images([np.zeros((2, 2, 3), np.uint8)], ["a"]), [0], PETS)
    (tmp_path / "there").mkdir()
    with pytest.raises(MeznetError, match=r"there is there already; name a new folder\."):
        write_tree(pets, tmp_path / "there")
    (tmp_path / "file").write_text("x")
    with pytest.raises(MeznetError, match=r"below can't be written \("):
        write_tree(pets, tmp_path / "file" / "below")


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    pets = Dataset(Images([np.zeros((2, 2, 3), np.uint8)] * 3, "abc"), [0, 0, 1], PETS)
    save = Image.Image.save

    def fill_up(image, path):
        if path.name == "b.png":
            raise OSError(errno.ENOSPC, "No space left on device")
        save(image, path)

    monkeypatch.setattr(Image.Image, "save", fill_up)
    with pytest.raises(MeznetError, match=r"zoo can't be written \(No space left on device\)\."):
        write_tree(pets, tmp_path / "zoo")
    assert not list(tmp_path.iterdir())
