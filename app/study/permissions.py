"""Who may do what in a study: roles and their rights, as one table.

A blinded role stands alone: who reads blinded must have no way to see more under another hat.
"""

from __future__ import annotations

from app.study.errors import StudyRefused

# Right -> what it lets a user do, in the words of a refusal.
RIGHTS = {
    "users": "manage users",
    "study": "change settings of the study",
    "records": "add or change subjects, visits, nodes and events",
    "images": "import pictures",
    "add_nodes": "add a node",
    "read_site": "make site readings",
    "read_central": "make central readings",
    "read_training": "make training readings",
    "adjudicate": "adjudicate",
    "plan": "keep plans and what was delivered",
    "export": "export",
    "see_all": "see all readings, dates and events",
    "see_clinical": "see dates, events and site readings",
    "see_audit": "see the audit trail",
    "see_as": "look through a reader's eyes",
    "backup": "copy the study",
}
ROLE_RIGHTS: dict[str, frozenset[str]] = {
    "administrator": frozenset({"users", "study", "see_audit", "backup"}),
    "trial_manager": frozenset({"study", "records", "images", "add_nodes", "export", "see_all", "see_audit", "see_as", "backup"}),
    "site_reader": frozenset({"records", "images", "add_nodes", "read_site", "plan", "see_clinical"}),
    "central_reader": frozenset({"read_central", "add_nodes"}),
    "adjudicator": frozenset({"adjudicate"}),
    "trainee": frozenset({"read_training"}),
    "monitor": frozenset({"see_all", "see_audit"}),
}
BLINDED_ROLES = ("central_reader", "adjudicator", "trainee")
# Role of a reading -> the right to make it.
READING_RIGHTS = {"site": "read_site", "central": "read_central", "training": "read_training", "adjudicator": "adjudicate"}
# Side, level and the like of a node: who keeps the records; of a find of one's own, who may add nodes (``RecordsPart.update_node`` sees to whose it is).
NODE_RIGHTS = ("records",)
OWN_FIND_RIGHTS = ("records", "add_nodes")
ANY_READER = ("read_site", "read_central", "read_training", "adjudicate")


def check_roles(roles: tuple[str, ...]) -> tuple[str, ...]:
    """Roles in a fixed order, each once. Raises ``role_unknown``, ``roles_conflict``."""
    for role in roles:
        if role not in ROLE_RIGHTS:
            raise StudyRefused(f"{role!r} is no role of a user; use {', '.join(ROLE_RIGHTS)}.", code="role_unknown")
    chosen = tuple(role for role in ROLE_RIGHTS if role in roles)
    if not chosen:
        raise StudyRefused("A user needs a role.", code="role_unknown", hint=f"Use {', '.join(ROLE_RIGHTS)}.")
    blinded = [role for role in chosen if role in BLINDED_ROLES]
    if blinded and len(chosen) > 1:
        raise StudyRefused(
            f"A user with the role {blinded[0]} has no other role: it would undo the blinding.",
            code="roles_conflict",
            hint="Give the other role to another account of another person.",
        )
    return chosen


def rights_of(roles: tuple[str, ...]) -> frozenset[str]:
    """All rights of these roles; an unknown role has none."""
    return frozenset().union(*(ROLE_RIGHTS.get(role, frozenset()) for role in roles))
