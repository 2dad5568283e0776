"""Pictures: the window, the part and the size that were asked for, of every kind of image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest

from dicomnn.dicom.attributes import ImagePixel
from dicomnn.dicom.display import Window
from dicomnn.dicom.mark import lettered, loss_words, marked
from dicomnn.dicom.scaling import fitted, scaled
from dicomnn.errors import IdentifierInvalid
from dicomnn.flow.ingest import Policy
from tests.scp.objects import made
from tests.web.bodies import part10, parts
from tests.web.conftest import Web, value
from tests.web.test_frames import where

NOTHING = ImagePixel(**dict.fromkeys(field.name for field in fields(ImagePixel)))


def png(web: Web, path: str) -> np.ndarray:
    answer = web.get(path, "image/png")
    assert answer.status_code == 200 and answer.content_type == "image/png", answer.data[:200]
    return np.asarray(imagecodecs.png_decode(answer.data))


def windowed(dataset: pydicom.Dataset, center: float, width: float) -> np.ndarray:
    """As PS3.3 C.11.2.1.2 writes it, by pydicom's values."""
    values = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    y = ((values - (center - 0.5)) / (width - 1) + 0.5) * 255
    return np.clip(y, 0, 255)


def test_a_window_is_applied_as_the_standard_says(web: Web, sample_data: Path) -> None:
    dataset = pydicom.dcmread(sample_data / "ct_head" / "ct_01.dcm")
    for center, width in ((40, 80), (-600, 1500), (300, 2000)):
        picture = png(web, f"{where(dataset)}/rendered?window={center},{width},linear")
        assert np.abs(picture - windowed(dataset, center, width)).max() <= 1.0
    first = dataset.WindowCenter, dataset.WindowWidth
    center, width = (each[0] if hasattr(each, "__len__") else each for each in first)
    assert np.abs(png(web, where(dataset) + "/rendered") - windowed(dataset, center, width)).max() <= 1.0


def test_a_viewport_cuts_and_scales_and_keeps_the_shape(web: Web, sample_data: Path) -> None:
    dataset = pydicom.dcmread(sample_data / "dx_chest" / "chest_pa.dcm")
    path = where(dataset) + "/rendered"
    whole = png(web, path)
    assert whole.shape == (dataset.Rows, dataset.Columns)
    assert png(web, path + "?viewport=200,200").shape == fitted(*whole.shape, 200, 200)
    window = "&window=2000,4000"
    cut = png(web, path + "?viewport=100,80,300,500,100,80" + window)
    assert np.array_equal(cut, png(web, path + "?" + window[1:])[500:580, 300:400])
    mirrored = png(web, path + "?viewport=100,80,300,500,-100,80" + window)
    assert np.array_equal(mirrored, cut[:, ::-1])


def test_part_of_a_cold_frame_is_decoded_from_its_tiles_alone(empty: Web, sample_data: Path) -> None:
    path = sample_data / "dx_chest" / "chest_pa.dcm"
    empty.put(path.read_bytes())
    empty.code_all()
    dataset = pydicom.dcmread(path)
    cut = png(empty, where(dataset) + "/rendered?viewport=64,64,300,300,64,64&window=2000,4000")
    assert not any(key[0] == "frame" for key in empty.services.frames.cache._values), "no whole frame"
    whole = png(empty, where(dataset) + "/rendered?window=2000,4000")
    assert np.array_equal(cut, whole[300:364, 300:364])


def test_the_client_chooses_the_kind_of_picture(web: Web) -> None:
    path = web.paths("CT")[0] + "/rendered"
    for accept, kind in ((None, "image/jpeg"), ("*/*", "image/jpeg"), ("image/*", "image/jpeg"),
                         ("image/png", "image/png"), ("image/jpeg;q=0.1, image/png", "image/png"),
                         ("image/gif, image/png;q=0.2", "image/png")):
        assert web.get(path, accept).content_type == kind
    assert web.get(path + "?accept=image/png").content_type == "image/png"
    assert web.get(path, "image/gif").status_code == 406
    assert len(web.get(path + "?quality=5").data) < len(web.get(path + "?quality=95").data)


def test_every_study_series_and_frame_has_pictures_and_thumbnails(web: Web, sample_files: list[Path]) -> None:
    for path in sample_files:
        dataset = pydicom.dcmread(path)
        small = png(web, where(dataset) + "/thumbnail")
        assert max(small.shape[:2]) == 128 and small.max() > small.min()
    study = where(dataset).rsplit("/series", 1)[0]
    assert png(web, study + "/thumbnail").size
    assert png(web, study + "/thumbnail?viewport=32,32").shape[0] <= 32
    series = web.paths("CT")[0].rsplit("/instances", 1)[0]
    assert len(parts(web.get(series + "/rendered"))) == len(web.paths("CT"))
    frames = next(path for path in sample_files if path.parent.name == "mr_multiframe")
    enhanced = where(pydicom.dcmread(frames))
    assert len(parts(web.get(enhanced + "/frames/1,3/rendered", "image/png"))) == 2
    assert web.get(enhanced + "/frames/2/thumbnail").content_type == "image/jpeg"


@pytest.mark.parametrize("query", [
    "window=1", "window=a,b", "window=40,0", "window=40,80,cubic", "window=nan,1", "window=1,2,linear,4",
    "viewport=0,0", "viewport=100", "viewport=1,2,3", "viewport=10,10,0,0,999999,9", "viewport=99999,1",
    "viewport=8000,8000", "viewport=inf,1", "quality=0", "quality=101", "quality=x",
])
def test_what_no_picture_can_have_is_refused(web: Web, query: str) -> None:
    assert web.get(web.paths("CT")[0] + "/rendered?" + query).status_code == 400


def one(web: Web, **attributes: object) -> str:
    web.put(part10(made("1.2.3.4", study="1.2", series="1.2.3", **attributes)))
    return "/studies/1.2/series/1.2.3/instances/1.2.3.4/rendered"


def base(rows: int, columns: int, bits: int, data: bytes, **more: object) -> dict[str, object]:
    return {"Rows": rows, "Columns": columns, "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 8 if bits <= 8 else 16,
            "BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": 0, "PixelData": data, **more}


def test_monochrome1_is_shown_inverted(empty: Web) -> None:
    values = np.arange(64, dtype=np.uint8).reshape(8, 8)
    path = one(empty, **base(8, 8, 8, values.tobytes(), PhotometricInterpretation="MONOCHROME1"))
    picture = png(empty, path)
    assert picture[0, 0] == 255 and picture[-1, -1] == 0


def test_signed_values_with_bits_beyond_the_stored_ones_are_read_right(empty: Web) -> None:
    values = np.linspace(-2048, 2047, 64).astype(np.int16).reshape(8, 8)
    raw = (values.astype(np.uint16) & 0x0FFF | 0xA000).astype("<u2")
    path = one(empty, **base(8, 8, 12, raw.tobytes(), PixelRepresentation=1))
    expected = (values + 2048) / 4095 * 255
    assert np.abs(png(empty, path) - expected).max() <= 1


def test_colour_comes_as_colour(empty: Web) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    planar = np.moveaxis(rgb, -1, 0)
    path = one(empty, **base(8, 8, 8, planar.tobytes(), SamplesPerPixel=3, PhotometricInterpretation="RGB",
                             PlanarConfiguration=1))
    assert np.array_equal(png(empty, path), rgb)


def test_a_palette_is_looked_up(empty: Web) -> None:
    values = np.arange(64, dtype=np.uint8).reshape(8, 8)
    lut = (np.arange(256, dtype=np.uint16)[::-1] * 257).astype("<u2").tobytes()
    more = {f"{name}PaletteColorLookupTableDescriptor": [256, 0, 16] for name in ("Red", "Green", "Blue")}
    more |= {f"{name}PaletteColorLookupTableData": lut for name in ("Red", "Green", "Blue")}
    path = one(empty, **base(8, 8, 8, values.tobytes(), PhotometricInterpretation="PALETTE COLOR", **more))
    picture = png(empty, path)
    assert picture.shape == (8, 8, 3) and np.array_equal(picture[..., 0], 255 - values)


def corner(picture: np.ndarray, words: str, scale: int = 1) -> bool:
    """Whether just these words stand at the lower right, white on black."""
    box = lettered(words).repeat(scale, 0).repeat(scale, 1) * 255
    height, width = box.shape
    there = picture[-height:, -width:]
    return np.array_equal(there if there.ndim == 2 else there[..., 0], box)


GREY = {"WindowCenter": 100, "WindowWidth": 200}


def test_a_picture_of_a_lossy_image_says_so_with_its_ratio(empty: Web) -> None:
    data = np.full((64, 96), 100, np.uint8).tobytes()
    path = one(empty, **base(64, 96, 8, data, LossyImageCompression="01", LossyImageCompressionRatio="8.0",
                             **GREY))
    picture = png(empty, path)
    assert corner(picture, "LOSSY 8:1") and len(np.unique(picture[:-11])) == 1
    assert corner(png(empty, path + "?viewport=960,640"), "LOSSY 8:1", scale=2)
    assert corner(png(empty, path + "?viewport=60,60,10,0,40,60"), "LOSSY"), "a part of it says so too"
    thumbnail = path.replace("rendered", "thumbnail")
    assert corner(png(empty, thumbnail), "LOSSY 8:1")
    assert corner(png(empty, thumbnail + "?viewport=40,40"), "L"), "a small one has a badge"
    assert png(empty, thumbnail + "?viewport=12,12").max() < 255
    frame = empty.get(path.replace("rendered", "frames/1"), "application/octet-stream").data
    assert frame == data, "what is no picture for a screen is never marked"


def test_a_bounded_object_carries_its_ratio(
    make_web: Callable[..., Web], tmp_path: Path, sample_data: Path
) -> None:
    empty = make_web(tmp_path, policy=Policy(profile="bounded:4"))
    empty.put((sample_data / "dx_chest" / "chest_pa.dcm").read_bytes())
    empty.code_all()
    (study,) = empty.found("/studies")
    (found,) = empty.found(f"/studies/{value(study, '0020000D')}/metadata")
    said = f"LOSSY {float(value(found, '00282112')):.1f}".removesuffix(".0") + ":1"
    study_uid, series, uid = (value(found, tag) for tag in ("0020000D", "0020000E", "00080018"))
    at = f"/studies/{study_uid}/series/{series}/instances/{uid}"
    scale = min(value(found, "00280010"), value(found, "00280011")) // 256
    assert corner(png(empty, at + "/rendered"), said, scale)
    assert corner(png(empty, at + "/thumbnail"), said)


@pytest.mark.parametrize(("ratio", "said"), [
    ("8", "LOSSY 8:1"), ("3.4127", "LOSSY 3.4:1"), ("12.04\\10", "LOSSY 12:1, 10:1"),
    ("150.7", "LOSSY 151:1"), ("", "LOSSY"), ("nan", "LOSSY"), ("0", "LOSSY"), ("ten", "LOSSY"),
])
def test_every_ratio_is_readable_and_what_is_none_is_left_out(ratio: str, said: str) -> None:
    image = replace(NOTHING, lossy_image_compression="01", lossy_image_compression_ratio=ratio or None)
    assert loss_words(image).upper() == said
    assert corner(marked(np.full((200, 200), 90, np.uint8), loss_words(image)), said)


def test_what_cannot_be_without_loss_is_marked_whatever_the_data_set_says() -> None:
    assert loss_words(NOTHING, "1.2.840.10008.1.2.4.50") == "lossy"      # JPEG baseline
    assert loss_words(NOTHING, "1.2.840.10008.1.2.4.70") == ""
    assert loss_words(replace(NOTHING, lossy_image_compression="00"), "1.2.840.10008.1.2.1") == ""


def test_without_an_image_there_is_no_picture_and_it_is_said(empty: Web) -> None:
    path = one(empty, ImageComments="a report")
    answer = empty.get(path)
    assert answer.status_code == 406 and b"no image" in answer.data.lower()


def test_sigmoid_and_exact_windows_and_what_is_no_window() -> None:
    values = np.array([0.0, 50.0, 100.0])
    assert np.allclose(Window(50, 100, "LINEAR_EXACT").apply(values), [0, 0.5, 1])
    assert np.allclose(Window(50, 100, "SIGMOID").apply(values), 1 / (1 + np.exp([2, 0, -2])))
    assert np.allclose(Window(50, 1).apply(np.array([49.0, 50.0])), [0, 1])
    for width in (0, -1, 0.5, float("nan")):
        with pytest.raises(IdentifierInvalid):
            Window(50, width)


def test_scaling_keeps_the_mean_and_flat_pictures_flat() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (60, 90), dtype=np.uint8)
    assert scaled(picture, 20, 30).shape == (20, 30)
    assert abs(scaled(picture, 20, 30).mean() - picture.mean()) < 1
    assert (scaled(np.full((7, 5, 3), 9, np.uint8), 50, 3) == 9).all()
    assert fitted(100, 50, 20, 20) == (20, 10) and fitted(1, 5000, 10, 10) == (1, 10)
