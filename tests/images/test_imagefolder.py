"""Tests of meznet_helpers.images.folders."""

import errno

import numpy as np
import pytest
from PIL import Image

from meznet_helpers.errors import MeznetError
from meznet_helpers.images import Dataset, Images, match, read_tree, write_tree
from meznet_helpers.labels import LabelSpace, from_names, imagenet, tiny_imagenet

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


@pytest.mark.parametrize("parts", [["train", "test"], ["Train", "valid", "test"], ["training"],
                                   ["val", "train", "notes"]])  # fmt: skip
@pytest.mark.parametrize("labels", [None, PETS])
def test_parts_of_a_data_set_are_no_labels(parts, labels, tree):
    folder = tree([f"{part}/{label}/1.png" for part in parts for label in ("cat", "hot dog")])
    train = next(part for part in parts if part.lower().startswith("train"))
    with pytest.raises(
        MeznetError, match=r"holds parts \(.*\), not labels; name one, such as "
    ) as e:
        read_tree(folder, labels)
    assert str(e.value).endswith(f"{folder / train}.")
    assert len(read_tree(folder / train, labels)) == 2


def test_trees_as_people_have_them(tree, tmp_path_factory):
    disk = tmp_path_factory.mktemp("disk")
    for name in ("c.png", "d.png"):
        Image.new("RGB", (4, 3)).save(disk / name)
    folder = tree(["cat/a.png", "hot dog/b.png", "__MACOSX/cat/._a.png", "cat/.hidden.png"])
    (folder / "cat" / "more").symlink_to(disk, target_is_directory=True)
    (folder / "cat" / "again").symlink_to(folder / "cat", target_is_directory=True)
    (folder / "a, b").symlink_to(disk, target_is_directory=True)
    (folder / "hot dog" / "gone.png").symlink_to("nowhere")
    found = read_tree(folder)
    assert found.labels.names == ("a, b", "cat", "hot dog")
    assert found.truth.tolist() == [0, 0, 1, 1, 1, 2]
    assert [str(error)[-35:] for error in found.images.errors] == [
        "gone.png: is a link to what is not there."[-35:]
    ]


def test_folders_of_names_with_signs_and_marks(tree):
    names = ["A", "A+", "C#", "C++", "\u0915\u093f", "\u0915\u0940", "caf\udce9"]
    found = read_tree(tree([f"{name}/1.png" for name in names]))
    assert {*found.labels.names} == {*names[:6], r"caf\udce9"} and len({*found.labels.ids}) == 7
    space = from_names(names[:6])
    assert match(names[:6], space) == match(space.ids, space) == list(range(6))
    with pytest.raises(MeznetError, match='folder "\u0915" is no label'):
        match(["\u0915"], space)
    with pytest.raises(MeznetError, match='folder "C" is no label'):
        match(["C"], space)


def test_a_folder_that_can_not_be_read(tree, monkeypatch):
    def denied(folder):
        raise PermissionError(13, "Permission denied")

    folder = tree(["cat/1.png"])
    monkeypatch.setattr(type(folder), "iterdir", denied)
    with pytest.raises(MeznetError, match=r"can't be read \(Permission denied\)\."):
        read_tree(folder)


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


def test_no_two_images_become_one_file_and_none_lies_outside(tmp_path):
    ids = ["../../escaped", "ok", "OK", "..", "CON", "a/b", "a-b", "x" * 300, "x" * 299, "nul.txt",
           "\N{CAT FACE}" * 90, ".hidden", "caf\udce9", "c:\\d"]  # fmt: skip
    names = ["x/1.png", "x-1.png", "X-1.png", "../../../up", "con", "...", "y" * 400, "y" * 401]
    arrays = np.arange(len(ids) * len(names), dtype=np.uint8)[:, None, None, None]
    arrays = np.broadcast_to(arrays, (len(arrays), 2, 2, 3))
    truth = np.repeat(np.arange(len(ids)), len(names))
    every = [f"{ids[label]}/{name}" for label in range(len(ids)) for name in names]
    space = LabelSpace("odd", ids, ids)
    folder = write_tree(Dataset(Images(arrays, every), truth, space), tmp_path / "in" / "out")
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["out"]
    assert len({str(file).casefold() for file in files}) == len(files) == len(arrays)
    for part in {part for file in files for part in file.parts}:
        assert part.split(".")[0].casefold() not in ("con", "nul") and part[0] != "."
        assert len(part.encode()) <= 255 and not set(part) & set('\\/:*?"<>|')
    back = read_tree(folder)
    assert len(back.labels) == len(ids) and sorted(reds(back.images)) == list(range(len(arrays)))
    for own in back.truth.reshape(len(ids), -1):
        assert len(set(own)) == 1


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
