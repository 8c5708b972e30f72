import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lowland.core.config import DataConfig
from lowland.core.errors import DataError, LowlandWarning
from lowland.data import DataSet, batches, load, pixels

RGB_FORMATS = ("JPEG", "jpg", "bmp", "webp", "tiff", "ppm", "png")
RNG = np.random.default_rng(0)


def picture(mode: str = "RGB", size: tuple[int, int] = (12, 12)) -> Image.Image:
    channels = {"L": (), "RGB": (3,)}[mode]
    return Image.fromarray(RNG.integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8))


def fill(folder: Path, count: int = 5, **options) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        picture(**options).save(folder / f"{i}.png")


def make(root: Path, parts: tuple[str, ...] = ("",), classes: tuple[str, ...] = ("cat", "dog"), **options) -> Path:
    for part in parts:
        for name in classes:
            fill(root / part / name, **options)
    return root


def opened(root: Path, **settings) -> DataSet:
    return load(DataConfig(name=str(root), **settings), seed=0)


def everything(data: DataSet) -> torch.Tensor:
    return torch.cat([split.images(torch.arange(len(split))) for split in (data.train, data.search, data.test)])


def one(root: Path, image: Image.Image, suffix: str = "png", *, grey: bool = False, **save) -> torch.Tensor:
    """The pixels of one image as loaded, beside enough others that are grey or in colour."""
    mode = "L" if grey else "RGB"
    make(root, ("train",), mode=mode, size=image.size)
    for name in ("cat", "dog"):
        (root / "test" / name).mkdir(parents=True)
        image.save(root / "test" / name / f"x.{suffix}", **save)
    data = opened(root, image_size=min(image.size), fit="crop")
    assert data.in_channels == (1 if grey else 3)
    return data.test.images(torch.tensor([0]))[0]


def test_split_folder(tmp_path):
    make(tmp_path, ("train", "test"))
    data = opened(tmp_path)
    assert (data.name, data.classes) == (tmp_path.name, ("cat", "dog"))
    assert (len(data.train), len(data.search), len(data.test)) == (8, 2, 10)
    assert (data.in_channels, data.image_size, data.flip, data.crop_padding) == (3, 12, True, 1)
    stored = {Image.open(path).tobytes() for path in tmp_path.glob("test/*/*")}
    assert {x.permute(1, 2, 0).numpy().tobytes() for x in data.test.images(torch.arange(10))} == stored


@pytest.mark.filterwarnings("ignore::lowland.core.errors.LowlandWarning")  # of one level, and so all the same
def test_labels_go_with_their_images(tmp_path):
    for level, name in ((0, "black"), (255, "white")):
        for part in ("train", "test"):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(4):
                Image.new("L", (8, 8), level).save(tmp_path / part / name / f"{i}.png")
    data = opened(tmp_path)
    for split in (data.train, data.search, data.test):
        for x, y in batches(split, 2):
            assert (x[:, 0, 0, 0] == y * 255).all()


@pytest.mark.parametrize("name", ["test", "val", "valid"])
def test_names_of_the_test_folder(tmp_path, name):
    assert len(opened(make(tmp_path, ("train", name))).test) == 10


@pytest.mark.parametrize("parts", [("",), ("train",)])
def test_unsplit_folder_is_split_by_class(tmp_path, parts):
    data = opened(make(tmp_path, parts, count=10), test_fraction=0.3)
    assert (len(data.train), len(data.search), len(data.test)) == (11, 3, 6)
    assert data.test.labels_N.bincount().tolist() == [3, 3]
    images = {x.numpy().tobytes() for x in everything(data)}
    assert len(images) == 20


def test_a_class_may_be_called_train(tmp_path):
    assert opened(make(tmp_path, classes=("bus", "train"))).classes == ("bus", "train")


@pytest.mark.filterwarnings("ignore::lowland.core.errors.LowlandWarning")  # cut on purpose
def test_mixed_sizes_and_modes(tmp_path):
    fill(tmp_path / "a", mode="L", size=(30, 20))
    fill(tmp_path / "b", mode="RGB", size=(16, 50))
    data = opened(tmp_path, fit="crop")
    assert (data.in_channels, data.image_size) == (3, 18)  # the median of 20 and 16
    assert everything(data).shape == (10, 3, 18, 18)


def test_default_size_is_at_most_224(tmp_path):
    assert opened(make(tmp_path, mode="L", size=(300, 250), count=3)).image_size == 224


@pytest.mark.filterwarnings("ignore::lowland.core.errors.LowlandWarning")  # cut on purpose
def test_resizing_is_antialiased_and_centred(tmp_path):
    stripes = np.zeros((16, 48), dtype=np.uint8)
    stripes[:, 16:32:2] = 254  # only the middle square is not black, its columns alternating
    found = one(tmp_path, Image.fromarray(stripes), grey=True)
    assert torch.equal(found[0], torch.from_numpy(stripes[:, 16:32]))
    (tmp_path / "half").mkdir()
    data = opened(tmp_path, image_size=4, fit="crop")
    assert abs(data.test.images(torch.tensor([0]))[0, 0, :, 1:3].float() - 127).max() < 8


def test_pixels_of_a_picture_are_those_of_the_loaded_file(tmp_path):
    data = opened(make(tmp_path, ("train", "test"), count=2, size=(31, 17)), image_size=10)
    expected = {pixels(Image.open(path), 3, 10).tobytes() for path in tmp_path.glob("test/*/*")}
    assert {x.numpy().tobytes() for x in data.test.images(torch.arange(4))} == expected


@pytest.mark.filterwarnings("ignore::lowland.core.errors.LowlandWarning")  # of one level, and twice the same
@pytest.mark.parametrize(
    ("image", "grey", "expected"),
    [
        (Image.new("1", (8, 8), 1), True, [255]),
        (Image.fromarray(np.full((8, 8), 0x8080, dtype=np.uint16)), True, [128]),
        (Image.fromarray(np.full((8, 8), 0x8080, dtype=np.uint16)), False, [128, 128, 128]),
        (Image.new("L", (8, 8), 9), False, [9, 9, 9]),
        (Image.new("LA", (8, 8), (0, 0)), False, [255, 255, 255]),
        (Image.new("RGBA", (8, 8), (255, 0, 0, 255)), False, [255, 0, 0]),
        (Image.new("RGBA", (8, 8), (255, 0, 0, 0)), False, [255, 255, 255]),
        (Image.new("RGBA", (8, 8), (255, 0, 0, 51)), False, [255, 204, 204]),
        (Image.new("RGB", (8, 8), (10, 200, 30)).quantize(4), False, [10, 200, 30]),
    ],
    ids=["bilevel", "16 bits", "16 bits in colour", "grey in colour", "LA", "RGBA", "clear", "half clear", "palette"],
)
def test_colour_modes(tmp_path, image, grey, expected):
    assert one(tmp_path, image, grey=grey)[:, 3, 3].tolist() == expected


@pytest.mark.filterwarnings("ignore::lowland.core.errors.LowlandWarning")  # of one level
def test_grey_with_transparency_makes_the_set_colour(tmp_path):
    make(tmp_path, mode="L")
    Image.new("LA", (12, 12)).save(tmp_path / "cat" / "0.png")
    assert opened(tmp_path).in_channels == 3


@pytest.mark.filterwarnings("ignore::lowland.core.errors.LowlandWarning")  # of one level, and twice the same
@pytest.mark.parametrize(
    ("suffix", "mode"),
    [*(("jpg", "CMYK"), ("tif", "CMYK"), ("gif", "P"), ("png", "P")), *((suffix, "RGB") for suffix in RGB_FORMATS)],
)
def test_file_formats(tmp_path, suffix, mode):
    image = Image.new("RGB", (8, 8), (200, 40, 90)).convert(mode)
    expected = torch.tensor(image.convert("RGB").getpixel((0, 0)))
    assert (one(tmp_path, image, suffix)[:, 4, 4] - expected).abs().max() <= 3


@pytest.mark.filterwarnings("ignore::lowland.core.errors.LowlandWarning")  # of one level
def test_sixteen_bit_pgm_is_scaled(tmp_path):
    make(tmp_path, mode="L", size=(8, 8))
    for name in ("cat", "dog"):
        for i in range(5):
            (tmp_path / name / f"{i}.png").unlink()
            (tmp_path / name / f"{i}.pgm").write_bytes(b"P5 8 8 65535\n" + b"\x40\x40" * 64)
    data = opened(tmp_path)
    assert data.in_channels == 1
    assert everything(data).unique().tolist() == [0x40]


@pytest.mark.filterwarnings("ignore::lowland.core.errors.LowlandWarning")  # twice the same
def test_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (16, 16))
    image.paste((255, 255, 255), (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored rotated: turn by 90° clockwise to view
    found = one(tmp_path, image, "jpg", exif=exif, quality=95)
    assert found[:, 8, 14].min() > 240
    assert found[:, 8, 2].max() < 15


@pytest.mark.filterwarnings("ignore::lowland.core.errors.LowlandWarning")  # all the same
def test_large_jpegs_look_the_same_as_decoded_in_full(tmp_path):
    smooth = picture(size=(6, 6)).resize((400, 400), Image.Resampling.BICUBIC)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(3):
            smooth.save(tmp_path / name / f"{i}.jpg", quality=95)
    found = opened(tmp_path, image_size=25).test.images(torch.tensor([0]))[0]
    expected = np.asarray(smooth.resize((25, 25), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert abs(found.numpy().astype(int) - expected).max() <= 8


def test_hidden_files_are_ignored(tmp_path):
    make(tmp_path)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._0.png"):
        (tmp_path / "cat" / name).write_bytes(b"x")
    (tmp_path / ".git").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "README.txt").write_text("x")
    (tmp_path / "@eaDir").mkdir()
    (tmp_path / "dog" / "lost+found").mkdir()
    with pytest.warns(
        LowlandWarning, match=r"skipped 9 entries that are no picture: (?=.*README\.txt \(1\)).* and 4 other names$"
    ):
        data = opened(tmp_path)
    assert data.classes == ("cat", "dog")
    assert len(everything(data)) == 10


def test_streamed_and_held_data_are_the_same(tmp_path):
    make(tmp_path, count=9, size=(20, 14))
    held, streamed = opened(tmp_path, image_size=10), opened(tmp_path, image_size=10, memory_gb=1e-9)
    assert not held.train.streamed
    assert streamed.train.streamed
    assert torch.equal(everything(held), everything(streamed))
    assert (held.fingerprint, held.mean, held.std) == (streamed.fingerprint, streamed.mean, streamed.std)


def test_fingerprint_sees_changes_but_not_moves(tmp_path):
    first = opened(make(tmp_path / "here"))
    moved = opened((tmp_path / "here").rename(tmp_path / "there"))
    assert moved.fingerprint == first.fingerprint
    picture().save(tmp_path / "there" / "cat" / "0.png")
    assert opened(tmp_path / "there").fingerprint != first.fingerprint


def test_limit_decodes_no_more_than_it_keeps(tmp_path):
    make(tmp_path, ("train",), count=40)
    make(tmp_path, ("test",), count=1)
    kept = opened(tmp_path, limit=4)
    assert (len(kept.train), len(kept.search)) == (2, 2)
    stored = sorted(tmp_path.glob("train/*/*.png"))
    survivors = {x.permute(1, 2, 0).numpy().tobytes() for x in everything(kept)}
    for path in stored:
        if Image.open(path).tobytes() not in survivors:
            path.write_bytes(b"damaged")
    assert torch.equal(everything(opened(tmp_path, limit=4)), everything(kept))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp", "tif", "ppm"])
@pytest.mark.parametrize("memory_gb", [4.0, 1e-9])
def test_a_truncated_image_is_named(tmp_path, suffix, memory_gb):
    make(tmp_path, size=(32, 32))
    bad = tmp_path / "dog" / f"9.{suffix}"
    picture(size=(32, 32)).save(bad)
    truncate(bad)
    with pytest.raises(DataError, match=rf"{bad} cannot be decoded .*remove it or replace it") as caught:
        everything(opened(tmp_path, memory_gb=memory_gb))
    assert "\n" not in str(caught.value)


def test_several_damaged_images_are_counted(tmp_path):
    make(tmp_path)
    for i in (1, 3):
        (tmp_path / "cat" / f"{i}.png").write_bytes(b"no image")
    with pytest.raises(
        DataError, match=r"/cat/[13]\.png cannot be decoded \(its content is of no .* \(and 1 more like it\)"
    ):
        opened(tmp_path)


def test_floating_point_tiffs_are_refused(tmp_path):
    make(tmp_path)
    Image.new("F", (12, 12)).save(tmp_path / "cat" / "f.tif")
    with pytest.raises(DataError, match=r"f\.tif cannot be decoded \(it holds floating-point levels"):
        opened(tmp_path)


def _add(path: Path, content: bytes = b"x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda root: None, "it holds no folders"),
        (lambda root: fill(root), r"0\.png lies directly in it"),
        (lambda root: fill(root / "cat"), "the single class 'cat'; at least 2"),
        (
            lambda root: (make(root), _add(root / "cat" / "a.heic"), _add(root / "cat" / "b.HEIC")),
            r"cat/a\.heic \(and 1 more like it\) is in a picture format that is not read; convert",
        ),
        (lambda root: (make(root), _add(root / "cat" / "a.avif")), r"cat/a\.avif is in a picture format"),
        (lambda root: (make(root), (root / "cat" / "x.png").symlink_to("gone")), r"x\.png is a link to something that"),
        (lambda root: (make(root), (root / "eel").symlink_to("gone")), "eel is a link to something that does not"),
        (
            lambda root: (make(root), (root / "eel").mkdir(), (root / "fox").mkdir()),
            "class folders .*eel, .*fox hold no",
        ),
        (lambda root: make(root / "inner"), r"holds nothing but the folder inner; give .*/inner instead"),
        (lambda root: make(root, size=(9, 3)), r"image .* is 9 × 3 pixels, but sides of at least 4 .*\(and 9 more"),
        (lambda root: make(root, classes=("1", "01")), "the classes '01' and '1' are the same number"),
        (lambda root: (make(root), fill(root / "cat" / "more")), "cat/more is a folder"),
        (lambda root: (make(root), (root / "eel").mkdir()), "eel holds no images"),
        (lambda root: (make(root), fill(root / "eel", 2)), "class 'eel' of .* has 2, but at least 3 images"),
        (
            lambda root: (
                make(root, ("train", "test")),
                fill(root / "train" / "eel", 1),
                fill(root / "test" / "eel", 1),
            ),
            "class 'eel' of .* has 1, but at least 2 training images",
        ),
        (
            lambda root: (make(root, ("train", "test")), fill(root / "test" / "eel")),
            "class 'eel' is in .*/test but not in .*/train",
        ),
        (
            lambda root: (make(root, ("train", "test")), fill(root / "train" / "eel")),
            "class 'eel' is in .*/train but not in .*/test",
        ),
        (lambda root: (make(root, ("train",)), fill(root / "test")), r"test must hold one folder .* 0\.png lies"),
    ],
)
def test_unfit_folders_are_explained(tmp_path, build, words):
    build(tmp_path)
    with pytest.raises(DataError, match=words) as caught:
        opened(tmp_path)
    assert "\n" not in str(caught.value)


SYNONYMS = [("train", "validation", "testing"), ("Training", "DEV", "Test"), ("training_set", "Eval", "test-set")]


@pytest.mark.parametrize("names", SYNONYMS)
def test_val_beside_test_is_the_search_split(tmp_path, names):
    train, val, test = names
    make(tmp_path, (train,), count=8)
    make(tmp_path, (val,), count=3)
    make(tmp_path, (test,), count=4)
    data = opened(tmp_path)
    assert [len(split) for split in (data.train, data.search, data.test)] == [16, 6, 8]
    for split, name in ((data.train, train), (data.search, val), (data.test, test)):
        stored = {Image.open(path).tobytes() for path in tmp_path.glob(f"{name}/*/*")}
        assert {x.permute(1, 2, 0).numpy().tobytes() for x in split.images(torch.arange(len(split)))} == stored
    assert {f"search from {val}/", f"test from {test}/"} < set(data.found)
    assert data.warnings == (
        "only 8 test pictures: an accuracy measured on them is uncertain by up to ±35 points (95 %)",
    )
    assert len(opened(tmp_path, limit=4).search) == 6


@pytest.mark.parametrize("name", ["validation", "VAL", "eval", "dev", "Testing", "tst", "test_data"])
def test_any_usual_name_beside_train_is_the_test(tmp_path, name):
    data = opened(make(tmp_path, ("Train", name), count=4))
    assert len(data.test) == 8
    assert f"test from {name}/" in data.found


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            lambda root: make(root, ("train", "test", "testing")),
            "test/ and testing/ in .* could both be the test; move",
        ),
        (lambda root: make(root, ("train", "test", "Test")), "Test/ and test/ in .* could both be the test"),
        (lambda root: make(root, ("train", "val", "dev")), "dev/ and val/ in .* could both be the validation images"),
        (lambda root: make(root, ("train", "Training", "test")), "Training/ and train/ .* could both be the training"),
        (lambda root: make(root, ("test", "val")), "holds test/, val/ with class folders, but no train/"),
        (lambda root: [fill(root / name) for name in ("train", "test")], "without a folder per class in them"),
        (lambda root: [fill(root / name) for name in ("dev", "test")], "without a folder per class in them"),
        (lambda root: (make(root, ("train",)), fill(root / "test" / "images")), "nothing that says which class"),
        (
            lambda root: (make(root, ("train", "test")), [fill(root / "train" / name) for name in ("eel", "fox")]),
            "classes 'eel', 'fox' are in .*/train but not in .*/test",
        ),
    ],
)
def test_doubtful_parts_are_refused(tmp_path, build, words):
    build(tmp_path)
    with pytest.raises(DataError, match=words) as caught:
        opened(tmp_path)
    assert "\n" not in str(caught.value)


def test_folders_that_are_no_part_are_named(tmp_path):
    make(tmp_path, ("train", "test", "extra"))
    fill(tmp_path / "unlabelled")
    picture().save(tmp_path / "cover.png")
    with pytest.warns(LowlandWarning) as said:
        data = opened(tmp_path)
    assert "extra/, unlabelled/ in" in str(said[0].message)
    assert "1 pictures directly in" in str(said[1].message)
    assert len(everything(data)) == 20
    assert tuple(str(warning.message) for warning in said) == data.warnings


def tiny_imagenet(root: Path) -> Path:
    for name in ("n1", "n2"):
        fill(root / "train" / name / "images", 4)
        (root / "train" / name / f"{name}_boxes.txt").write_text("0.png\t0\t0\t1\t1\n")
    fill(root / "val" / "images", 4)
    lines = [f"{i}.png\tn{2 - i % 2}\t0\t0\t9\t9\n" for i in range(4)]
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    fill(root / "test" / "images", 5)
    return root


def test_tiny_imagenet(tmp_path):
    tiny_imagenet(tmp_path)
    with pytest.warns(LowlandWarning) as said:
        data = opened(tmp_path)
    assert data.warnings[0].startswith("test/ in ")
    assert "skipped 2 entries" in str(said[1].message)
    assert "test from val/" in data.found
    assert (data.classes, len(data.test)) == (("n1", "n2"), 4)
    for i, label in enumerate(data.test.labels_N.tolist()):
        image = data.test.images(torch.tensor([i]))[0].permute(1, 2, 0).numpy().tobytes()
        (number,) = (k for k in range(4) if Image.open(tmp_path / f"val/images/{k}.png").tobytes() == image)
        assert data.classes[label] == f"n{2 - number % 2}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0.png\tn1\n", "gives no class to 1.png and 2 others; it holds 1 lines for 4 pictures"),
        ("".join(f"{i}.png\tn1\n" for i in range(5)), "gives a class to 4.png, which does not exist; it holds 5 lines"),
        ("0.png n1\n", "line 1, must be a picture's name, a tab and its class, not '0.png n1'"),
        ("0.png\tn1\n0.png\tn2\n", "gives 0.png the classes 'n1' and 'n2'"),
        ("".join(f"{i}.png\tn{i}\n" for i in range(4)), "'n0', 'n3' are in .*val but not in .*train"),
    ],
)
def test_unfit_annotations_are_explained(tmp_path, text, words):
    tiny_imagenet(tmp_path)
    (tmp_path / "val" / "val_annotations.txt").write_text(text)
    with pytest.raises(DataError, match=words):
        opened(tmp_path)


def test_classes_called_by_numbers_are_in_the_order_of_numbers(tmp_path):
    names = tuple(map(str, range(12)))
    data = opened(make(tmp_path, ("train", "test"), names, count=2))
    assert data.classes == names
    assert "classes in the order of their numbers (0, 1, 2, …), not of their text" in data.found
    stored = {Image.open(path).tobytes(): path.parent.name for path in tmp_path.glob("test/*/*")}
    for x, y in batches(data.test, 1):
        assert stored[x[0].permute(1, 2, 0).numpy().tobytes()] == str(int(y))


def test_classes_with_leading_zeros_need_no_note(tmp_path):
    data = opened(make(tmp_path, classes=("00", "01", "02", "10")))
    assert data.classes == ("00", "01", "02", "10")
    assert not any("order" in words for words in data.found)


def test_a_class_name_that_is_no_text_is_refused(tmp_path):
    make(tmp_path)
    try:
        (tmp_path / "dog").rename(tmp_path / os.fsdecode(b"d\xffg"))
    except OSError:
        pytest.skip("this file system has no such names")
    with pytest.raises(DataError, match=r"class folder b'd\\xffg' .* not text in UTF-8"):
        opened(tmp_path)


def test_a_file_name_that_is_no_text_is_read_and_can_be_complained_about(tmp_path):
    make(tmp_path)
    path = tmp_path / "dog" / os.fsdecode(b"\xff.png")
    try:
        picture().save(path)
    except OSError:
        pytest.skip("this file system has no such names")
    assert len(everything(opened(tmp_path))) == 11
    path.write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        opened(tmp_path)
    assert str(caught.value).encode("utf-8")


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "JPG", "PNG", "pbm", "Tif"])
def test_rare_suffixes_are_pictures(tmp_path, suffix):
    make(tmp_path)
    (tmp_path / "cat" / "0.png").rename(tmp_path / "cat" / f"0.{suffix}")
    assert len(everything(opened(tmp_path))) == 10


def test_class_folders_may_be_links(tmp_path):
    make(tmp_path / "store")
    (tmp_path / "set").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "set" / name).symlink_to(tmp_path / "store" / name)
    assert len(everything(opened(tmp_path / "set"))) == 10
