"""Signing in and out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Blueprint, Response, g, make_response, redirect, render_template, request

from dicomnn.errors import DicomnnError
from dicomnn.flow.accounts import TooManyFailures
from scp.web.guard import COOKIE, Refused

if TYPE_CHECKING:
    from scp.web.app import Walks


def add(pages: Blueprint, walks: Walks) -> None:
    accounts = walks.accounts

    @pages.route("/sign-in", methods=["GET", "POST"])
    def sign_in() -> Response:
        goal = _inside(request.values.get("next", ""))
        if request.method == "GET":
            if g.caller.rights:
                return make_response(redirect(goal))
            return _form(goal)
        name, password = request.form.get("name", "").strip(), request.form.get("password", "")
        if g.caller.rights and not g.caller.name:
            raise Refused(403, "there is no user yet, so nobody can sign in")
        g.deed = ("sign in", "", name[:64] if name else "")
        try:
            entered = accounts.sign_in(name, password, g.caller.address)
        except TooManyFailures as error:
            response = _form(goal, f"{error.message[:1].upper()}{error.message[1:]}.", name, 429)
            response.headers["Retry-After"] = str(int(error.seconds) + 1)
            return response
        except DicomnnError as error:
            return _form(goal, f"{error.message[:1].upper()}{error.message[1:]}. {error.cure}", name, 401)
        g.caller = replace(g.caller, name=entered.user.name)  # for the audit table
        response = make_response(redirect(goal, 303))
        response.set_cookie(
            COOKIE,
            entered.cookie,
            max_age=int(entered.seconds),
            httponly=True,
            samesite="Strict",
            secure=request.is_secure,
            path="/",
        )
        return response

    @pages.post("/sign-out")
    def sign_out() -> Response:
        g.deed = ("sign out", "", "")
        accounts.sign_out(request.cookies.get(COOKIE, ""))
        response = make_response(redirect("/sign-in", 303))
        response.delete_cookie(COOKIE, path="/", samesite="Strict", httponly=True, secure=request.is_secure)
        return response


def _form(goal: str, trouble: str = "", name: str = "", status: int = 200) -> Response:
    return make_response(render_template("sign_in.html", goal=goal, trouble=trouble, name=name), status)


def _inside(goal: str) -> str:
    """A path of ours; anything that leads elsewhere is the list of studies."""
    parts = urlsplit(goal)
    plain = (
        goal.startswith("/")
        and not goal.startswith("//")
        and "\\" not in goal
        and goal.isprintable()
        and not parts.scheme
        and not parts.netloc
    )
    return goal if plain else "/studies"
