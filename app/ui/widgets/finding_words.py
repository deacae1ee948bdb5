"""For each finding code: what it means for the reader, and what can be done about it."""

from __future__ import annotations

from app.ui.text import t


def advice(code: str) -> tuple[str, str]:
    """(what it means, what you can do) for a finding code; a general pair for an unknown one."""
    return {
        "gantry_tilt": (
            t("The slices are tilted against the table. Volumes use the true shape of a voxel and stay right; sections across the slices look skewed."),
            t("Measure in the original slices. For needle paths prefer a series without tilt."),
        ),
        "uneven_spacing": (
            t("The distance between slices changes within the series, so one spacing would give a wrong volume."),
            t("Ask for a series with even slices. Numbers from this one carry the warning."),
        ),
        "missing_slice": (
            t("At least one slice is absent between others. A node there would be measured too small or too large."),
            t("Fetch the complete series again. Do not measure a node that touches the gap."),
        ),
        "duplicate_slice": (
            t("Two pictures stand at the same position. One was kept, the other left out."),
            t("Look whether both show the same contrast phase; if not, import the phases apart."),
        ),
        "reversed_order": (
            t("The files were numbered against their positions. They were sorted by position."),
            t("Nothing to do. Check left and right once, as always."),
        ),
        "mixed_series_split": (
            t("One series held pictures that do not belong to one stack. They were split."),
            t("Choose the stack that you mean in the list of series."),
        ),
        "spacing_unknown": (
            t("The distance between slices cannot be known from one picture. Lengths within it are right; a volume would be a guess."),
            t("Import the whole series to measure a volume."),
        ),
        "uncalibrated": (
            t("The picture does not say how many millimetres a pixel is. Lengths are shown in pixels only."),
            t("Ask for the original export of the machine, with its region calibration, or use another series."),
        ),
        "crosses_regions": (
            t("The line runs over two regions with different scales, so it has no single length."),
            t("Draw the line within one region of the picture."),
        ),
        "not_a_length": (
            t("The line lies where the axes are not both lengths, for example in a spectrum or an M-mode strip."),
            t("Draw the line on the B-mode part of the picture."),
        ),
        "outside_regions": (
            t("The line lies outside every region that has a scale."),
            t("Draw the line on the calibrated part of the picture."),
        ),
        "regions_do_not_fit": (
            t("The scale in the file belongs to a picture of another size. It was not used."),
            t("Ask for the original export of the machine."),
        ),
        "manual_calibration": (
            t("The scale was drawn by the reader against a ruler in the picture, not given by the machine."),
            t("Use a calibrated picture where there is one; the reading carries this warning."),
        ),
        "frame_times_missing": (
            t("The cine has no frame times. It plays at an assumed speed, and no time curve is computed from it."),
            t("Ask for the original cine of the machine."),
        ),
        "truncated": (
            t("The file ends before its picture does. What is missing was not invented."),
            t("Fetch the file again from its source."),
        ),
        "codec_missing": (
            t("The picture is compressed in a way that this installation cannot read."),
            t("Export the series uncompressed or as JPEG 2000, JPEG-LS or RLE."),
        ),
        "header_size_mismatch": (
            t("The header names another picture size than the pixels have."),
            t("Fetch the file again; do not measure on it."),
        ),
        "not_an_image": (
            t("The file holds no picture, or not one that can be shown here."),
            t("Nothing to do; it was left out."),
        ),
        "several_pieces": (
            t("The outline has more than one piece. All of them count as this node."),
            t("Press Keep largest (K) if the smaller pieces are not the node."),
        ),
        "too_few_voxels": (
            t("The node covers few voxels, so its volume depends strongly on where its edge is drawn."),
            t("Read the interval, not only the number, or set the status to too small."),
        ),
        "touches_edge": (
            t("The outline reaches the edge of the picture, so part of the node may lie outside."),
            t("Use a series that holds the whole node."),
        ),
        "assumed_tissue": (
            t("No measured conductivity is known for a tissue; a value from the literature stands in."),
            t("Choose the tissue that fits best, and read the field as an estimate."),
        ),
        "side_disagrees": (
            t("The side of the node does not agree with its place in the picture."),
            t("Check the side. It must be confirmed with a reason before the reading can be locked."),
        ),
        "common_diameter_differs": (
            t("The length seen in both planes differs between them, so the planes may not cross the same node or not at a right angle."),
            t("Look at both pictures again and redraw the longer one."),
        ),
        "no_target": (
            t("The plan has no target, so coverage and margin are not known."),
            t("Outline the node in step 2; it becomes the target."),
        ),
        "synthetic": (
            t("The picture was made by a program and shows no patient."),
            t("Nothing to do. Do not use it for a patient."),
        ),
    }.get(
        code,
        (
            t("The program noticed this and carries it with every number from this series."),
            t("Look at the pictures concerned before you rely on the number."),
        ),
    )
