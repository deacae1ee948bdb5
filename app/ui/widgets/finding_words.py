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
            t("Ask for the original export of the machine, with its region calibration. Where marks are drawn into the picture, state a scale by hand (Shift+S)."),
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
        "square_pixels_assumed": (
            t("The scale was drawn in one direction only, so the other one was given the same."),
            t("Draw a second scale across the first where the picture has one."),
        ),
        "own_frame_of_reference": (
            t("The machine made this volume in a frame of its own. Distances and volumes in it are true; where the patient's left, front and head lie is not stored."),
            t("State the node's side yourself. The sides of the panes carry the volume's own axes."),
        ),
        "volume_part": (
            t("The file holds several volumes, for example one for each time point. This says which one is on screen."),
            t("Choose the one that you mean in the list of series."),
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
        "empty_slices": (
            t("Slices between drawn ones hold none of the outline. They count as nothing, so the volume is too small."),
            t("Press Between (I) to fill them by shape, or draw on them. Press Keep largest (K) if a piece is not the node."),
        ),
        "thin": (
            t("Few slices cross the node, so its volume depends strongly on where the first and last one are drawn."),
            t("Read the interval, not only the number, or set the status to too small."),
        ),
        "touches_border": (
            t("The outline reaches the edge of the picture, so part of the node may lie outside."),
            t("Use a series that holds the whole node."),
        ),
        "weak_boundary": (
            t("In places the node has the same brightness as its neighbour; there the outline follows its own smooth shape."),
            t("Go through the slices and correct with the brush, or pull the outline through a point."),
        ),
        "search_limit": (
            t("The outline stopped where the drag ended, not at an edge of the node."),
            t("Drag a larger radius, or cut the leak with the eraser."),
        ),
        "radius_estimated": (
            t("No radius was dragged, so one was assumed for the search."),
            t("Drag from the middle of the node to its border if the outline does not fit."),
        ),
        "empty": (
            t("There is no outline, so there is nothing to measure."),
            t("Outline the node, or say what was seen of it."),
        ),
        "sheared": (
            t("Volumes and lengths use the true shape of a voxel and stay right; sections across the slices look skewed."),
            t("Nothing to do for the numbers. For needle paths prefer a series without tilt."),
        ),
        "padding": (
            t("Outside the scanned circle the file holds a filling value, not tissue."),
            t("Nothing to do. Do not measure there."),
        ),
        "mixed_rescale": (
            t("The slices turn stored values into HU in different ways. Each was turned by its own header."),
            t("Nothing to do for the shape; compare HU between slices with care."),
        ),
        "unit_unknown": (
            t("The slices do not agree on their unit, or do not say it. Their values are shown as numbers."),
            t("Ask for the original series. Do not compare values between slices."),
        ),
        "hu_assumed": (
            t("A file of this kind does not say what its numbers are. They are taken for Hounsfield units."),
            t("Use windows and thresholds in HU only if you know that it came from a CT."),
        ),
        "hu_unknown": (
            t("The file does not say how its numbers become Hounsfield units. They are shown as stored."),
            t("Ask for the original series. Do not read densities here; outlines and volumes hold."),
        ),
        "not_hu": (
            t("The numbers of this series are not Hounsfield units, or the file leaves open what they are."),
            t("Choose the ordinary CT series for windows, thresholds and densities."),
        ),
        "tilt_contradicted": (
            t("The file calls the gantry tilted and gives positions of an upright one. If the positions are wrong, volumes are a few percent too large."),
            t("Compare with the original series, or check a length that you know."),
        ),
        "uid_reused": (
            t("Several slices carry the same identity, as badly anonymised series do."),
            t("The positions are used. Do not export a segmentation of this series to another system."),
        ),
        "regions_clipped": (
            t("The picture was cropped after it was made. The scale in millimetres still holds."),
            t("Check one length against the ruler drawn in the picture."),
        ),
        "implausible_scale": (
            t("The scale in the file cannot be right: no ultrasound picture has such pixels. It was not used."),
            t("Ask for the original export of the machine, or state a scale by hand where marks are drawn into the picture (Shift+S)."),
        ),
        "frame_times_doubtful": (
            t("The times of the frames contradict each other, or are not those of a scanner."),
            t("Do not take wash-in times from this cine without the original of the machine."),
        ),
        "frame_times_from_rate": (
            t("The frames carry no times of their own; the display rate of the header stands in."),
            t("Do not take wash-in times from this cine without the original of the machine."),
        ),
        "contours_outside_image": (
            t("Some outlines lie outside the pictures and could not be used."),
            t("Check that outlines and pictures belong to one series."),
        ),
        "contours_not_closed": (
            t("Points and open lines enclose nothing and add no volume."),
            t("Nothing to do, unless an outline was meant to be closed."),
        ),
        "contours_off_slices": (
            t("Outlines drawn between slices were moved to the nearest slice."),
            t("Check the first and last slice of the node."),
        ),
        "structure_unknown": (
            t("A large vessel near the node is not outlined, so its field and its distance to the needles are not known."),
            t("Outline it with the structure tool (A), or state in the panel that it lies farther than 15 mm from every needle."),
        ),
        "stated_clear_wrong": (
            t("An outline in this plan contradicts the statement that the structure lies far from every needle."),
            t("Take the statement back, or correct the outline."),
        ),
        "side_unstated": (
            t("The side of the node is not stated, so it cannot be checked whether the vessel outlined is the near one."),
            t("State the node's side in step 2."),
        ),
        "heat_at_risk": (
            t("The pulses warm this structure so far that heat alone may damage it. Thermal values of tissue are largely assumed."),
            t("Move the needles away, or give fewer or rarer pulses."),
        ),
        "thermal_assumed": (
            t("No measurement backs some thermal values of these tissues; values from the literature stand in."),
            t("Read temperatures and thermal damage as estimates."),
        ),
        "current_end_of_train": (
            t("Warm tissue conducts better: by the end of the pulses the current is predicted above the generator's limit."),
            t("Lower the voltage of this pair, shorten the exposure, or move the needles apart."),
        ),
        "boiling": (
            t("Tissue beside a needle is predicted to boil; no figure of heat or current holds beyond that."),
            t("Lower the voltage, the pulse width or the rate."),
        ),
        "conductivity_assumed": (
            t("No measurement backs the conductivity of this tissue; a value from the literature stands in. Fields and currents shift with it."),
            t("Read coverage and current as estimates, and plan with room to spare."),
        ),
        "current": (
            t("The generator would stop or cut the pulse: the predicted current is above its limit. The plan cannot be approved."),
            t("Lower V/cm, shorten the exposed part, or move the needles apart."),
        ),
        "current_headroom": (
            t("Current rises during a train of pulses, so it may pass the generator's limit before the train ends."),
            t("Lower V/cm or shorten the exposed part."),
        ),
        "voltage": (
            t("The generator cannot give this voltage. The plan cannot be approved."),
            t("Lower V/cm or bring the two needles closer."),
        ),
        "voltage_low": (
            t("The generator cannot be set this low."),
            t("Raise V/cm, or use needles farther apart."),
        ),
        "spacing": (
            t("Outside the usual distance the field between the needles is uneven: gaps when far, overheating when near."),
            t("Move the needles, or add one between them."),
        ),
        "parallelism": (
            t("Where the tips come close, current crowds; where they part, the field falls."),
            t("Move one needle; holding Alt keeps it parallel to its neighbour."),
        ),
        "exposure": (
            t("The device has no such exposed length. The plan cannot be approved."),
            t("Change the exposed length in the table of needles."),
        ),
        "exposure_beyond_entry": (
            t("Part of the exposed metal would lie outside the entry point."),
            t("Shorten the exposed part or place the tip deeper."),
        ),
        "pulse_width": (t("The generator gives no such pulse width. The plan cannot be approved."), t("Change the width in the table of pulses.")),
        "pulse_count": (t("The generator gives fewer pulses a pair. The plan cannot be approved."), t("Change the number of pulses in the table.")),
        "needles": (t("The device drives fewer needles. The plan cannot be approved."), t("Remove a needle.")),
        "path_crosses": (
            t("The needle's way leads through a structure that must be spared. The plan cannot be approved."),
            t("Move the entry or the tip until the way is clear."),
        ),
        "path_clearance": (
            t("The needle passes close to a structure that must be spared."),
            t("Move the entry or the tip, or watch this place on ultrasound during placement."),
        ),
        "cover_not_reached": (
            t("Within the limits no arrangement was found that covers the whole target. What stands in the way is named above."),
            t("Place the needles from another side, allow another needle, or weigh the limit that is named. Not every target can be covered."),
        ),
        "nothing_allowed": (
            t("Every arrangement that was looked at breaks a limit, so none is proposed."),
            t("Place the needles from another side, or look at the limits."),
        ),
        "nothing_better": (t("The search knows no plan that ranks higher than the one you have."), t("Keep it, or search with another seed.")),
        "start_breaks_limits": (
            t("The needles as they lie now break hard limits; proposals do not."),
            t("Take a proposal, or move the needles."),
        ),
        "start_not_solved": (t("The plan as it lies now has no field, so proposals cannot be compared with it."), t("Look at the needles: they may touch, or leave the box.")),
        "search_stopped": (
            t("The search did not come to its end. What it had found is shown; the same seed may give others next time."),
            t("Search again and let it end, if you want to repeat it exactly."),
        ),
        "solved_coarser": (t("Proposals were solved on a coarser grid than the plan asks for."), t("Take one: its field is then solved on the plan's own grid.")),
        "samples_failed": (
            t("In some samples needles touch, leave the box, or no field was found. They count as uncovered, which lowers the percentiles."),
            t("Look at the needles that lie close together; their codes stand in the table."),
        ),
        "box_cut": (
            t("Samples are solved in a smaller box than the plan, and its walls change the cover a little."),
            t("Read the percentiles with the shift that is named."),
        ),
        "few_samples": (t("So few samples say too little about rare bad cases."), t("Run again with the number named, or more.")),
        "no_ablation": (
            t("Nowhere is the field as strong as the lethal field."),
            t("Raise V/cm or bring the needles closer."),
        ),
        "domain_too_small": (
            t("The lethal zone reaches the edge of the computed box, so volumes are too small."),
            t("Bring the needles closer to the target, so that the box fits."),
        ),
        "domain_small": (
            t("The edge of the computed box is so near that it changes the lethal volume by 1 % or more."),
            t("Compute the plan in a larger box; until then allow for that difference."),
        ),
        "structure_outside": (
            t("The structure is far from the needles and was not computed."),
            t("Nothing to do, unless the structure was outlined at the wrong place."),
        ),
        "structure_is_air": (
            t("The structure is air inside. Its field is that of the tissue at its wall."),
            t("Outline the wall as a structure of its own if its exposed volume matters."),
        ),
        "structure_clipped": (
            t("Only the part of the structure near the needles was computed."),
            t("Nothing to do: the field outside the computed box is weaker."),
        ),
        "target_empty": (
            t("Needles or other structures cover the whole target, so nothing is left to cover."),
            t("Check the outlines of the target and of the structures at risk."),
        ),
        "side_disagrees": (
            t("The side of the node does not agree with its place in the picture."),
            t("Check the side. It must be confirmed with a reason before the reading can be locked."),
        ),
        "common_diameter_differs": (
            t("The length seen in both planes differs between them, so the planes may not cross the same node or not at a right angle."),
            t("Look at both pictures again and redraw the longer one."),
        ),
        "propagated": (
            t("The outline began as another visit's, so it leans towards the volume measured there. The mark stays with the reading, repaired or not."),
            t("Go through every slice and correct it; or clear it and outline the node anew."),
        ),
        "registration_poor": (
            t("The neck bent between the visits, or the fit is wrong: linked points lie beside each other's anatomy."),
            t("Look at both panes around the node. Set landmarks near it (M) and link by them."),
        ),
        "registration_unchecked": (
            t("How well the visits fit could not be measured, or is not said by so few landmarks."),
            t("Check the fit by eye at the vessels around the node; add a landmark."),
        ),
        "registration_large": (
            t("The patient lay very differently in the scanner. The fit may be right, but it may also have caught the wrong vertebra."),
            t("Check the fit at two levels before you trust it."),
        ),
        "registration_unlike": (
            t("Unlike pictures were registered, and the measured residual may not see a wrong fit."),
            t("Check the fit by eye, or set landmarks (M)."),
        ),
        "registration_refused": (
            t("The pictures could not be brought together by their content, so nothing links the visits."),
            t("Set three landmarks or more in both visits (M)."),
        ),
        "linked_by_position": (
            t("Nothing was registered. The visits are linked as if the patient had lain in the same place both times."),
            t("Use it only to find your way. Register, or set landmarks, before you compare places."),
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
