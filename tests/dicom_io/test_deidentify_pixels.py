"""Of an ultrasound picture only its regions stay, in every frame; whatever is not known to be clean waits for a person."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from dicom_io.deidentify import Confirmed, NeedsReview, clean_copy, pixels, review
from dicom_io.deidentify.burned_in import find_text
from dicom_io.deidentify.review import kept_mask
from dicom_io.headers import DicomRefused, read_header
from dicom_io.masks import open_image
from dicom_io.pixels import FrameDecoder
from tests.dicom_io.made import ENHANCED_CT, add_pixels, base, ct_slice, region, save, uid, us_picture
from volumetry.errors import Cancelled

KEY = b"0123456789abcdef0123456789abcdef"
SC = "1.2.840.10008.5.1.4.1.1.7"


def speckle(rows: int, columns: int, *, seed: int = 1, mean: float = 50.0) -> np.ndarray:
    """Grey speckle: Rayleigh noise, smoothed a little, as a scanner's picture has it."""
    rng = np.random.default_rng(seed)
    raw = rng.rayleigh(mean, (rows + 2, columns + 2))
    smooth = sum(raw[i : i + rows, j : j + columns] for i in range(3) for j in range(3)) / 9
    return np.clip(smooth, 0, 255).astype(np.uint8)


def write(picture: np.ndarray, words: str, at: tuple[int, int], size: int, colour=235, *, smooth: bool = False) -> np.ndarray:
    """The words drawn into a picture, pixel by pixel as a scanner draws them, or with soft edges."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    draw.fontmode = "L" if smooth else "1"
    draw.text(at, words, fill=colour, font=ImageFont.load_default(size))
    return np.asarray(image).copy()


def squeezed(picture: np.ndarray, quality: int) -> np.ndarray:
    """The picture after JPEG."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def us_of(array: np.ndarray, regions, **elements) -> Dataset:
    frames = array.shape[0] if array.ndim == 4 or (array.ndim == 3 and array.shape[-1] != 3) else None
    ds = us_picture(regions, frames=frames)
    add_pixels(ds, array, frames=frames)
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def cleaned(ds: Dataset, tmp_path, **options):
    source = save(ds, tmp_path / "in.dcm")
    if options.pop("confirm", False):
        options["confirmed"] = {source: Confirmed(options.pop("boxes", None))}
    (done,) = clean_copy([source], tmp_path / "out", "S-1", KEY, **options)
    return done, FrameDecoder(read_header(done.path))


def reasons(ds: Dataset, tmp_path) -> dict[str, bool]:
    return {r.code: r.holds for r in review(read_header(save(ds, tmp_path / "in.dcm"))).reasons}


def test_that_outside_the_regions_every_frame_is_black_and_inside_it_is_as_it_was(tmp_path):
    array = np.random.default_rng(3).integers(1, 120, (5, 60, 80, 3), dtype=np.uint8)
    boxes = [(10, 8, 39, 50), (45, 8, 70, 30)]
    done, back = cleaned(us_of(array, [region(b) for b in boxes], BurnedInAnnotation="NO"), tmp_path, confirm=True)
    kept = kept_mask(tuple(boxes), 60, 80)
    for n in range(5):
        frame = back.picture(n)
        assert np.array_equal(frame[kept], array[n][kept])
        assert not frame[~kept].any()
    assert done.masked_pixels == 5 * int((~kept).sum())
    assert pydicom.dcmread(done.path).BurnedInAnnotation == "NO"
    assert ("PixelData", "masked") in {(c.keyword, c.action) for c in done.changed}


@pytest.mark.parametrize(("photometric", "dtype", "black"), [("MONOCHROME2", np.uint8, 0), ("MONOCHROME1", np.uint8, 255), ("MONOCHROME2", np.uint16, 0)])
def test_that_black_is_black_in_every_kind_of_grey(tmp_path, photometric, dtype, black):
    array = np.full((40, 50), 77, dtype=dtype)
    ds = us_of(array, [region((5, 5, 30, 30))], BurnedInAnnotation="NO")
    ds.PhotometricInterpretation = photometric
    _, back = cleaned(ds, tmp_path)
    raw, kind = back.raw(0)
    assert (raw[0, 0], raw[10, 10], kind) == (black, 77, photometric)


def test_that_a_palette_picture_is_masked_in_its_darkest_colour(tmp_path):
    ds = us_of(np.full((40, 50), 3, dtype=np.uint8), [region((5, 5, 30, 30))], BurnedInAnnotation="NO")
    ds.PhotometricInterpretation = "PALETTE COLOR"
    for colour, table in (("Red", [200, 90, 0, 255]), ("Green", [200, 90, 0, 10]), ("Blue", [200, 90, 0, 20])):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [4, 0, 16])
        setattr(ds, f"{colour}PaletteColorLookupTableData", np.array([v << 8 for v in table], "<u2").tobytes())
    _, back = cleaned(ds, tmp_path)
    raw, _ = back.raw(0)
    assert (raw[0, 0], raw[10, 10]) == (2, 3)
    assert back.picture(0)[0, 0].tolist() == [0, 0, 0]


def _jpeg_loop(frames: int, rows: int = 64, columns: int = 96) -> tuple[Dataset, list[bytes]]:
    """A JPEG loop whose streams carry a comment with a name."""
    streams = []
    for n in range(frames):
        out = io.BytesIO()
        Image.fromarray(np.stack([speckle(rows, columns, seed=n)] * 3, -1)).save(out, "JPEG", quality=90, comment=b"Zimmermann in a comment")
        streams.append(out.getvalue())
    ds = us_picture([region((10, 10, 80, 55))], frames=frames, rows=rows, columns=columns, BurnedInAnnotation="NO", FrameTime=30.0)
    ds.PhotometricInterpretation = "YBR_FULL_422"
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    ds.PixelData = encapsulate(streams)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return ds, streams


@pytest.mark.parametrize("packed", [False, True])
def test_that_a_compressed_loop_is_decoded_masked_and_written_without_loss(tmp_path, monkeypatch, packed):
    if packed:
        monkeypatch.setattr(pixels, "PLAIN_UP_TO_BYTES", 1000)
    ds, _ = _jpeg_loop(4)
    source = save(ds, tmp_path / "in.dcm")
    assert b"Zimmermann" in source.read_bytes()
    (done,) = clean_copy([source], tmp_path / "out", "S-1", KEY)
    before, after = FrameDecoder(read_header(source)), FrameDecoder(read_header(done.path))
    kept = kept_mask(((10, 10, 80, 55),), 64, 96)
    for n in range(4):
        assert np.array_equal(before.picture(n)[kept], after.picture(n)[kept])
        assert not after.picture(n)[~kept].any()
    back = pydicom.dcmread(done.path)
    assert (back.file_meta.TransferSyntaxUID == JPEGLSLossless) is packed
    assert back.LossyImageCompression == "01"
    assert b"Zimmermann" not in done.path.read_bytes()


def test_that_a_compressed_slice_is_the_same_slice(tmp_path):
    ds = ct_slice((0, 0, 0), 1, array=np.random.default_rng(0).integers(-1000, 1000, (64, 48), dtype=np.int16))
    plain = ds.pixel_array.copy()
    ds.compress(RLELossless)
    done, back = cleaned(ds, tmp_path)
    assert np.array_equal(back.raw(0)[0], plain)
    assert done.masked_pixels == 0


def test_that_memory_holds_one_frame_of_a_long_loop(tmp_path):
    import tracemalloc

    array = np.zeros((120, 100, 120, 3), dtype=np.uint8)
    source = save(us_of(array, [region((10, 10, 90, 90))], BurnedInAnnotation="NO"), tmp_path / "in.dcm")
    size = array.nbytes
    del array
    clean_copy([source], tmp_path / "warm", "S-1", KEY)
    tracemalloc.start()
    clean_copy([source], tmp_path / "out", "S-1", KEY)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < size / 4


def test_that_a_cancelled_loop_leaves_nothing(tmp_path):
    source = save(us_of(np.zeros((9, 60, 80, 3), np.uint8), [region((5, 5, 60, 50))], BurnedInAnnotation="NO"), tmp_path / "in.dcm")
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 4

    with pytest.raises(Cancelled):
        clean_copy([source], tmp_path / "out", "S-1", KEY, should_cancel=stop)
    assert list((tmp_path / "out").iterdir()) == []


def _cut(path, frames_kept: int):
    """The file without its end: that many frames are whole, half of the next is there."""
    block = read_header(path).pixels
    if block.fragments:
        offset, length = block.fragments[frames_kept]
        end = offset + length // 2
    else:
        end = block.start + int(block.length * (frames_kept + 0.5) / read_header(path).frames)
    path.write_bytes(path.read_bytes()[:end])
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_that_a_loop_that_was_cut_off_is_written_with_its_whole_frames(tmp_path, compressed):
    if compressed:
        ds, _ = _jpeg_loop(5)
    else:
        ds = us_of(np.stack([speckle(64, 96, seed=n) for n in range(5)]), [region((10, 10, 80, 55))], BurnedInAnnotation="NO")
    ds.FrameTimeVector, ds.FrameIncrementPointer, ds.StopTrim = [0, 40, 41, 42, 43], 0x00181065, 5
    source = save(ds, tmp_path / "in.dcm")
    whole = FrameDecoder(read_header(source)).picture(2)
    (done,) = clean_copy([_cut(source, 3)], tmp_path / "out", "S-1", KEY)
    back = open_image(done.path)
    assert (back.frame_count, list(back.frame_times_ms)) == (3, [0.0, 40.0, 81.0])
    assert np.array_equal(back.read_frame(2)[20:50, 20:70], whole[20:50, 20:70])
    assert pydicom.dcmread(done.path).StopTrim == 3
    assert [(f.code, f.severity) for f in done.findings] == [("truncated", "serious")]


def test_that_pictures_of_one_bit_that_are_no_masks_are_refused(tmp_path):
    ds = base("1.2.840.10008.5.1.4.1.1.7.1", uid(3, 2), uid(3), "OT")
    add_pixels(ds, np.zeros((16, 16), np.uint8))
    ds.BitsAllocated = ds.BitsStored = 1
    ds.HighBit, ds.PixelData = 0, bytes(32)
    with pytest.raises(DicomRefused) as refused:
        clean_copy([save(ds, tmp_path / "in.dcm")], tmp_path / "out", "S-1", KEY)
    assert refused.value.code == "not_cleanable"
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("regions", [[], [(20, 8, 60, 50)]])
def test_that_a_drawn_scale_stays_where_a_person_says_so(tmp_path, regions):
    picture = speckle(60, 80)
    picture[10:50:10, 72:78] = 255  # ticks beside it
    source = save(us_of(picture, [region(b) for b in regions], BurnedInAnnotation="NO"), tmp_path / "in.dcm")
    ticks, middle = (70, 6, 79, 54), (20, 8, 60, 50)
    wanted = Confirmed(None if regions else (middle,), also=(ticks,))
    (done,) = clean_copy([source], tmp_path / "out", "S-1", KEY, confirmed={source: wanted})
    back = FrameDecoder(read_header(done.path)).picture(0)
    kept = kept_mask((middle, ticks), 60, 80)
    assert np.array_equal(back[kept], picture[kept])
    assert not back[~kept].any()


# ---- who has to look -------------------------------------------------------------------------
def test_that_a_picture_without_a_usable_region_is_held_and_a_person_can_let_part_of_it_go(tmp_path):
    array = speckle(60, 80)
    assert reasons(us_of(array, []), tmp_path)["no_regions"]
    assert reasons(us_of(array, [region((0, 0, 79, 59), spatial=0, data=0, units=(0, 0))]), tmp_path)["no_regions"]
    assert reasons(us_of(array, [region((30, 30, 200, 190))]), tmp_path)["regions_do_not_fit"]
    assert reasons(us_of(array, [region((10, 10, 78, 100))]), tmp_path)["regions_clipped"]
    with pytest.raises(NeedsReview) as held:
        cleaned(us_of(array, []), tmp_path)
    assert held.value.code == "needs_review"
    assert list((tmp_path / "out").iterdir()) == []
    done, back = cleaned(us_of(array, []), tmp_path, confirm=True, boxes=((20, 20, 50, 40),))
    kept = kept_mask(((20, 20, 50, 40),), 60, 80)
    assert np.array_equal(back.raw(0)[0][kept], array[kept])
    assert not back.raw(0)[0][~kept].any()
    assert done.confirmed


def test_that_what_the_header_says_of_burned_in_writing_is_heeded(tmp_path):
    array, inside = speckle(60, 80), [region((10, 10, 60, 50))]
    assert reasons(us_of(array, inside, BurnedInAnnotation="YES"), tmp_path) == {"burned_in_stated": True}
    assert reasons(us_of(array, inside, BurnedInAnnotation="NO"), tmp_path) == {}
    assert reasons(us_of(array, inside), tmp_path) == {"burned_in_not_stated": False}
    assert reasons(us_of(array, [region((0, 0, 79, 59))], BurnedInAnnotation="NO"), tmp_path) == {"region_is_whole_picture": False}
    assert reasons(ct_slice((0, 0, 0), 1, BurnedInAnnotation="YES"), tmp_path) == {"burned_in_stated": True}
    assert reasons(ct_slice((0, 0, 0), 1), tmp_path) == {}


@pytest.mark.parametrize("elements", [{"SOPClassUID": SC}, {"ConversionType": "WSD"}, {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, {"Modality": "OT"}, {"Modality": "XC"}])
def test_that_screens_and_dose_sheets_are_held(tmp_path, elements):
    ds = ct_slice((0, 0, 0), 1, array=np.zeros((80, 90), np.uint8), **elements)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    assert reasons(ds, tmp_path)["burned_in_not_stated"]
    assert reasons(ct_slice((0, 0, 0), 1, array=np.zeros((80, 90), np.uint8), BurnedInAnnotation="NO", **elements), tmp_path) == {}


def test_that_a_dose_sheet_with_writing_is_held_even_if_it_says_there_is_none(tmp_path):
    sheet = write(np.full((120, 300), 255, np.uint8), "Dose Report  Zimmermann Ida", (10, 40), 18, 0)
    ds = ct_slice((0, 0, 0), 1, array=sheet, BurnedInAnnotation="NO", ConversionType="WSD")
    assert reasons(ds, tmp_path) == {"text_in_picture": True}


def test_that_a_document_is_not_cleaned(tmp_path):
    ds = base("1.2.840.10008.5.1.4.1.1.104.1", uid(3, 1), uid(3), "DOC")
    ds.EncapsulatedDocument = b"%PDF-1.4 Zimmermann"
    with pytest.raises(DicomRefused) as refused:
        clean_copy([save(ds, tmp_path / "a.dcm")], tmp_path / "out", "S-1", KEY)
    assert refused.value.code == "not_cleanable"


def test_that_an_enhanced_ct_keeps_its_frames(tmp_path):
    ds = base(ENHANCED_CT, uid(4, 1), uid(4), "CT")
    array = np.arange(3 * 6 * 5, dtype=np.int16).reshape(3, 6, 5)
    add_pixels(ds, array, frames=3)
    _, back = cleaned(ds, tmp_path)
    assert all(np.array_equal(back.raw(n)[0], array[n]) for n in range(3))


# ---- writing that is found, and what is not ----------------------------------------------------
@pytest.mark.parametrize("size", [12, 16, 24, 32])
@pytest.mark.parametrize("colour", [110, 170, 235])
def test_that_printed_words_on_speckle_are_found(size, colour):
    for seed, words in enumerate(("DOE", "Zimmermann, Ida", "12.03.1957")):
        plain = write(speckle(300, 400, seed=seed), words, (60, 120), size, colour)[80:208]
        soft = write(speckle(300, 400, seed=seed), words, (60, 120), size, colour, smooth=True)[80:208]
        for name, picture in ({"plain": plain, "JPEG": squeezed(plain, 90)} | ({"soft": soft} if size >= 24 else {})).items():
            found = find_text(picture)
            assert any(x0 < 60 + 3 * size and x1 > 60 and y0 < 40 + 2 * size and y1 > 40 for x0, y0, x1, y1 in found), (name, words)


def test_that_coloured_words_are_found_and_words_outside_the_kept_part_are_not():
    picture = write(np.stack([speckle(300, 400)] * 3, -1), "Zimmermann", (60, 120), 18, (255, 240, 0))
    assert find_text(picture)
    kept = np.ones((300, 400), dtype=bool)
    kept[110:150] = False
    assert find_text(picture, kept) == ()


@pytest.mark.parametrize("seed", range(6))
def test_that_speckle_alone_is_no_writing(seed):
    assert find_text(speckle(400, 500, seed=seed, mean=25 + 9 * seed)) == ()


def test_that_ticks_boxes_and_lines_are_no_writing():
    picture = speckle(400, 500)
    picture[20:380, 10:12] = 255
    picture[20:380:40, 10:18] = 255
    picture[380, 20:480:40] = 255
    picture[100:102, 200:300] = picture[160:162, 200:300] = 240
    picture[100:162, 200:202] = picture[100:162, 298:300] = 240
    assert find_text(picture) == ()


def test_that_real_pictures_without_writing_raise_no_alarm_and_real_writing_does(shared_data):
    clean = sorted((shared_data / "us_lesion_png" / "breast_lesions_usg" / "images").glob("*.png")) + sorted((shared_data / "us_lesion_png" / "hc18").glob("*_HC.png"))
    assert len(clean) >= 12
    assert [p.name for p in clean if find_text(np.asarray(Image.open(p).convert("RGB")))] == []
    written = ("JPGLosslessP14SV1_1s_1f_8b", "OBXXXX1A_rle_2frame", "YBR_FULL-RLE", "gdcm-US-ALOKA-16", "I_000031", "US1_UNCR")
    for name in written:
        assert find_text(open_image(shared_data / "us_dicom" / f"{name}.dcm").read_frame(0)), name


def test_that_no_writing_outside_the_regions_of_the_shared_files_survives(cleaned_ultrasound, tmp_path):
    """Outside its regions each file is black in every frame, also where a person let it go; held files are not written without one."""
    written, held = [], []
    for source, done in cleaned_ultrasound.items():
        header = read_header(source)
        try:
            clean_copy([source], tmp_path / "out", "S-1", KEY)
            written.append(source.name)
        except NeedsReview:
            held.append(source.name)
        boxes = review(header).boxes
        if not boxes:
            continue
        outside = ~kept_mask(boxes, header.rows, header.columns)
        back = FrameDecoder(read_header(done.path))
        assert not any(back.picture(n)[outside].any() for n in range(back.frames)), source.name
    # Without usable regions, or with writing in the picture itself.
    assert {"US1_UNCR.dcm", "US1_J2KR.dcm", "US1_J2KI.dcm", "examples_ybr_color.dcm", "YBR_FULL-RLE.dcm", "I_000034.dcm"} <= set(held)
    assert "I_000007.dcm" in written
