"""One's own account, and, for administrators, users and the audit table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, g, make_response, redirect, render_template, request

from dicomnn.errors import DicomnnError, UsageError
from dicomnn.flow.accounts import ROLES
from scp.web.guard import MANAGE, READ, Refused

if TYPE_CHECKING:
    from scp.web.app import Walks

DEEDS = 100


def add(pages: Blueprint, walks: Walks) -> None:
    accounts = walks.accounts

    def own() -> str:
        g.caller.must(READ)
        if not g.caller.name:
            raise Refused(403, "there is no user yet, so nobody has an account")
        return str(g.caller.name)

    @pages.get("/account")
    def account() -> str:
        return render_template("account.html", tokens=accounts.tokens(own()))

    @pages.post("/account/tokens")
    def new_token() -> str:
        name = own()
        made = accounts.new_token(name, request.form.get("label", ""))
        g.deed = ("make token", name, request.form.get("label", "")[:64])
        return render_template("account.html", tokens=accounts.tokens(name), made=made)

    @pages.post("/account/tokens/<int:number>/revoke")
    def revoke(number: int) -> Response:
        name = own()
        accounts.remove_token(name, number)
        g.deed = ("revoke token", name, str(number))
        return make_response(redirect("/account", 303))

    @pages.post("/account/password")
    def password() -> Response:
        name = own()
        try:
            accounts.check(name, request.form.get("old", ""), g.caller.address)
        except DicomnnError as error:
            raise UsageError("the present password is not right", cure=error.cure) from error
        if request.form.get("new", "") != request.form.get("again", ""):
            raise UsageError("the two new passwords differ", cure="Type the same one twice.")
        accounts.set_password(name, request.form.get("new", ""))
        g.deed = ("set password", name, "")
        return make_response(redirect("/sign-in", 303))

    # ------------------------------------------------------------------ administrators
    @pages.get("/users")
    def users() -> str:
        g.caller.must(MANAGE)
        return render_template("users.html", users=accounts.users(), roles=ROLES)

    @pages.post("/users")
    def add_user() -> Response:
        g.caller.must(MANAGE)
        name, role = request.form.get("name", "").strip(), request.form.get("role", "")
        accounts.add(name, role, request.form.get("password", ""), by=g.caller.who)
        g.deed = ("add user", name, role)
        return make_response(redirect("/users" if g.caller.name else "/sign-in", 303))

    @pages.post("/users/<name>/role")
    def set_role(name: str) -> Response:
        g.caller.must(MANAGE)
        accounts.set_role(name, request.form.get("role", ""))
        g.deed = ("set role", name, request.form.get("role", ""))
        return make_response(redirect("/users", 303))

    @pages.post("/users/<name>/password")
    def set_password(name: str) -> Response:
        g.caller.must(MANAGE)
        accounts.set_password(name, request.form.get("password", ""))
        g.deed = ("set password", name, "")
        return make_response(redirect("/users", 303))

    @pages.post("/users/<name>/remove")
    def remove_user(name: str) -> Response:
        g.caller.must(MANAGE)
        if name == g.caller.name:
            raise UsageError("nobody removes himself", cure="Let another administrator do it.")
        accounts.remove(name)
        g.deed = ("remove user", name, "")
        return make_response(redirect("/users", 303))

    @pages.get("/audit")
    def audit() -> str:
        g.caller.must(MANAGE)
        before = request.args.get("before", type=int)
        deeds = accounts.deeds(
            DEEDS + 1,
            before=before,
            who=request.args.get("who", "")[:64],
            subject=request.args.get("subject", "")[:128],
        )
        more = deeds[DEEDS - 1].id if len(deeds) > DEEDS else None
        return render_template("audit.html", deeds=deeds[:DEEDS], more=more, given=request.args)
