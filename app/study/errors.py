"""What the study store refuses."""

from __future__ import annotations

from volumetry.errors import NodusError


class StudyRefused(NodusError):
    """A change or a folder that the study store does not accept; nothing was written."""

    default_code = "study_refused"
