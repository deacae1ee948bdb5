"""A scripted walk through the real window over the demonstration case, with a picture of each step.

``nodus walk OUT [--case FOLDER] [--trial STUDY] [--only case|study|contrast] [--size 1920x1080] [--scale 1.5] [--language zh-CN]``

The walk sends mouse and key events to the panes and presses the panels' own buttons; it waits for jobs in
Qt's event loop. It works on copies of the studies (pictures are linked, the database is copied), so
that what it was given stays as it was. In a language other than English it reads every text on screen at
each picture and lists what is not translated.

It shows the window and says nothing about how well outlines are found: it clicks at the seeds that
the demonstration keeps in its study, which are the true centres of the nodes at baseline, and drags
about as far as an earlier reading of the node is long.
"""

from app.ui.walk.case_steps import copy_case
from app.ui.walk.command import Walked, main, walk
from app.ui.walk.hands import Album, Drag, WalkFailed, wait_until

__all__ = ["Album", "Drag", "WalkFailed", "Walked", "copy_case", "main", "wait_until", "walk"]
