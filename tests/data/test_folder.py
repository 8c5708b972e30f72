from pathlib import Path

import numpy as np
import pytest
import torch
from picture_folders import everything, fill, make, opened, picture
from PIL import Image

from lowland.core.errors import DataError, LowlandWarning
from lowland.data import batches, pixels

RGB_FORMATS = ("JPEG", "jpg", "bmp", "webp", "tiff", "ppm", "png")


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
