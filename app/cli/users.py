"""``users``: accounts of a study."""

from __future__ import annotations

from pathlib import Path

from app.cli.output import add_command, add_json, emit, table
from app.cli.signing_in import read_password
from app.study.errors import StudyRefused
from app.study.permissions import ROLE_RIGHTS

NEW_PASSWORD_VARIABLE = "NODUS_NEW_PASSWORD"


def register(commands) -> None:
    """Add the users commands."""
    users = add_command(commands, "users", help="accounts of a study: who may do what")
    verbs = users.add_subparsers(dest="verb", metavar="VERB", required=True)
    roles = ", ".join(ROLE_RIGHTS)

    def verb(name: str, help: str, work, *, account: bool = True):
        parser = add_command(verbs, name, help=help)
        parser.add_argument("study", type=Path, metavar="STUDY", help="folder of the study, or its database URL")
        if account:
            parser.add_argument("account", metavar="NAME", help="short name of the account")
        add_json(parser)
        parser.set_defaults(work=work)
        return parser

    add = verb("add", "add a user; the first one must be an administrator", run_add)
    add.add_argument("--name", required=True, dest="full_name", help="full name, as it stands under a signature")
    add.add_argument("--role", required=True, action="append", dest="roles", metavar="ROLE", help=f"role; may be given again ({roles})")
    add.add_argument("--site", metavar="ID", help="site that the user belongs to: a site reader or monitor sees and changes that site's subjects alone")
    add.add_argument("--new-password-stdin", action="store_true", help=f"read the new account's password from standard input, after that of --user (or give it in {NEW_PASSWORD_VARIABLE})")

    verb("list", "list the accounts", run_list, account=False)

    disable = verb("disable", "let a user no longer sign in", run_disable)
    disable.add_argument("--reason", required=True, help="why")
    enable = verb("enable", "let a disabled user sign in again", run_enable)
    enable.add_argument("--reason", required=True, help="why")

    role = verb("role", "give a user other roles", run_role)
    role.add_argument("--role", required=True, action="append", dest="roles", metavar="ROLE", help=f"role; may be given again ({roles})")
    role.add_argument("--reason", required=True, help="why")

    place = verb("site", "bind a user to a site, or to none: a bound site reader or monitor sees and changes that site's subjects alone", run_site)
    which = place.add_mutually_exclusive_group(required=True)
    which.add_argument("--site", metavar="ID", help="the site")
    which.add_argument("--every-site", action="store_true", help="bound to none")
    place.add_argument("--reason", required=True, help="why")

    word = verb("password", "set a password: one's own, or as administrator another's", run_password)
    word.add_argument("--new-password-stdin", action="store_true", help=f"read the new password from standard input, after that of --user (or give it in {NEW_PASSWORD_VARIABLE})")


def _new_password(args) -> str:
    given = read_password("New password: ", from_stdin=args.new_password_stdin or (args.password_stdin and not args.sign_in_as), variable=NEW_PASSWORD_VARIABLE)
    if given is None:
        raise StudyRefused("The new password is missing.", code="password_missing", hint=f"Use a terminal, --new-password-stdin or {NEW_PASSWORD_VARIABLE}.")
    return given


def _row(user) -> dict:
    return {"user": user.user_id, "name": user.full_name, "roles": list(user.roles), "site": user.site, "disabled": user.disabled, "created_utc": user.created_utc}


def run_add(args) -> int:
    """Add a user."""
    from app.cli.study import opened

    with opened(args.study) as store:
        user = store.add_user(args.account, args.full_name, args.roles, _new_password(args), site=args.site)
    emit(_row(user), as_json=args.json, human=f"user {user.user_id} added: {', '.join(user.roles)}")
    return 0


def run_list(args) -> int:
    """List users."""
    from app.cli.study import opened

    with opened(args.study) as store:
        users = [_row(u) for u in store.users()]
    rows = [[u["user"], u["name"], ", ".join(u["roles"]), u["site"] or "-", "disabled" if u["disabled"] else ""] for u in users]
    emit({"users": users}, as_json=args.json, human=table(rows, ["user", "name", "roles", "site", ""]) if rows else "no users: the study belongs to the local account")
    return 0


def run_disable(args) -> int:
    """Disable a user."""
    from app.cli.study import opened

    with opened(args.study) as store:
        user = store.disable_user(args.account, reason=args.reason)
    emit(_row(user), as_json=args.json, human=f"user {user.user_id} disabled")
    return 0


def run_enable(args) -> int:
    """Enable a user."""
    from app.cli.study import opened

    with opened(args.study) as store:
        user = store.enable_user(args.account, reason=args.reason)
    emit(_row(user), as_json=args.json, human=f"user {user.user_id} may sign in again")
    return 0


def run_role(args) -> int:
    """Change roles."""
    from app.cli.study import opened

    with opened(args.study) as store:
        user = store.set_roles(args.account, args.roles, reason=args.reason)
    emit(_row(user), as_json=args.json, human=f"user {user.user_id}: {', '.join(user.roles)}")
    return 0


def run_site(args) -> int:
    """Bind to a site."""
    from app.cli.study import opened

    with opened(args.study) as store:
        user = store.set_site(args.account, None if args.every_site else args.site, reason=args.reason)
    emit(_row(user), as_json=args.json, human=f"user {user.user_id}: " + (f"site {user.site}" if user.site else "every site"))
    return 0


def run_password(args) -> int:
    """Set a password."""
    from app.cli.signing_in import password
    from app.cli.study import opened

    with opened(args.study) as store:
        store.set_password(args.account, _new_password(args), current=password() if store.user == args.account else None)
    emit({"user": args.account, "password": "set"}, as_json=args.json, human=f"password of {args.account} set")
    return 0
