"""Which actions each role finds in the window, as one table; what is off there the study refuses too, and the idle lock takes all of it."""

from __future__ import annotations

import datetime as dt

import pytest

from app.study.errors import StudyRefused
from app.study.permissions import ROLE_RIGHTS
from app.study.store import StudyStore
from app.ui.actions_study import ALWAYS, NEEDS
from app.ui.pages import LOCK
from tests.ui.session.hands import CENTRE, RADIUS_MM, settle
from tests.ui.session.users import ADMIN, WORD, sign_in

# What a role finds on; all else of WATCHED is off with its reason, or not there for who reads blinded.
WATCHED = (
    "import_images",
    "export_csv",
    "export_edc",
    "visit_board",
    "cohort",
    "audit_trail",
    "adjudicate",
    "worklist",
    "node",
    "caliper",
    "needle",
    "lock_now",
    "sign_out",
)
ALL = ("caliper", "lock_now", "sign_out")
TABLE = {
    "administrator": (*ALL, "audit_trail"),
    "trial_manager": (*ALL, "import_images", "export_csv", "export_edc", "visit_board", "cohort", "audit_trail"),
    "site_reader": (*ALL, "import_images", "visit_board", "cohort", "worklist", "node", "needle"),
    "central_reader": (*ALL, "worklist", "node"),
    "adjudicator": (*ALL, "worklist", "adjudicate", "node"),
    "trainee": (*ALL, "worklist", "node"),
    "monitor": (*ALL, "visit_board", "cohort", "audit_trail"),
}
REFUSED = {"import_images": "images", "export_csv": "export", "export_edc": "export", "audit_trail": "see_audit", "adjudicate": "adjudicate", "needle": "plan"}


def user_of(role: str) -> str:
    return role.replace("_", "-")


@pytest.fixture(scope="module")
def staffed(users_template, tmp_path_factory):
    """The study with a user of every role."""
    import shutil

    folder = shutil.copytree(users_template, tmp_path_factory.mktemp("staffed") / "study")
    with StudyStore.open(folder) as store:
        store.sign_in(ADMIN, WORD)
        for role in ROLE_RIGHTS:
            store.add_user(user_of(role), f"Some {role}", [role], WORD)
    return folder


def shows_pictures(qtbot, session) -> None:
    if session.is_blinded and session.worklist:
        session.open_next_case()
    qtbot.waitUntil(lambda: session.image is not None)
    settle(qtbot, session)


@pytest.mark.parametrize("role", TABLE)
def test_that_a_role_finds_on_what_it_may_do_and_the_study_refuses_the_rest(qtbot, session, window, staffed, role):
    sign_in(qtbot, session, staffed, user_of(role))
    settle(qtbot, session)
    if session.is_blinded or session.visits:
        shows_pictures(qtbot, session)
    window.refresh_actions()
    on = {name for name in WATCHED if window.qactions[name].isEnabled() and window.qactions[name].isVisible()}
    assert on == set(TABLE[role])
    told = {name: window.qactions[name].toolTip() for name in set(WATCHED) - on if window.qactions[name].isVisible() and name in NEEDS}
    assert not [name for name, tip in told.items() if "Your role does not let you" not in tip and "blinded reader" not in tip]
    for name in set(REFUSED) - on:
        with pytest.raises(StudyRefused) as refusal:
            session.study.require(REFUSED[name])
        assert refusal.value.code == "right_missing"
    session.close()


def test_that_every_role_and_every_gated_action_is_known():
    assert set(TABLE) == set(ROLE_RIGHTS)
    assert set(REFUSED) <= set(NEEDS)


@pytest.mark.parametrize("role", ["site_reader", "central_reader"])
def test_that_the_idle_lock_comes_for_each_reader_and_keeps_the_outline(qtbot, session, window, staffed, role):
    sign_in(qtbot, session, staffed, user_of(role))
    shows_pictures(qtbot, session)
    if session.current_node_id is None:
        session.select_node(session.subject_nodes[0].node_id)
    session.commit_segmentation(CENTRE, RADIUS_MM)
    settle(qtbot, session)
    drawn, node = session.current.draft.array.copy(), session.current_node_id
    now = session.study._clock() + dt.timedelta(seconds=session.signed_in.timeout_s + 1)
    session.study._clock = lambda: now
    session.look_at_lock()
    assert window.pages.name == LOCK
    assert "Nothing was done" in window.pages.page(LOCK).words.text()
    window.refresh_actions()
    assert [name for name, q in window.qactions.items() if q.isEnabled() and q.isVisible() and name not in (*ALWAYS, "sign_out")] == []
    assert not any(button.isVisibleTo(window) for button in window.step_buttons.values())
    with pytest.raises(StudyRefused):
        session.study.require("read_site" if role == "site_reader" else "read_central")
    session.unlock(WORD)
    settle(qtbot, session)
    assert window.pages.name != LOCK
    assert session.current_node_id == node
    assert (session.current.draft.array == drawn).all()
    session.close()
