"""Who is let in, what each role may do, and that every access is on record."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomnn.errors import ConfigurationError
from scp.config import Config
from scp.node import Node
from scp.web.app import POLICY
from tests.web_app.conftest import PASSWORD, Site

PAGES = ("/studies", "/upload", "/node", "/node.json")
ADMINISTRATORS_PAGES = ("/users", "/audit")


def test_without_users_this_machine_may_do_everything_and_the_page_says_so(site: Site) -> None:
    visitor = site.visitor()
    page = visitor.get("/studies")
    assert page.status_code == 200 and "There is no user yet" in page.text
    assert all(visitor.get(url).status_code == 200 for url in (*PAGES, *ADMINISTRATORS_PAGES))


def test_without_users_no_other_machine_is_served(site: Site) -> None:
    assert site.visitor("10.0.0.1").get("/studies").status_code == 403
    assert site.visitor("10.0.0.1").get("/dicom-web/studies").status_code == 403


def test_without_users_a_foreign_name_for_this_machine_is_refused(site: Site) -> None:
    answer = site.visitor().get("/studies", headers={"Host": "evil.example:8080"})
    assert answer.status_code == 403


def test_with_users_everybody_must_sign_in(site: Site) -> None:
    site.accounts.add("root", "administrator", PASSWORD, by="test")
    visitor = site.visitor()
    for url in (*PAGES[:3], *ADMINISTRATORS_PAGES):
        answer = visitor.get(url)
        assert answer.status_code == 302 and answer.location.startswith("/sign-in"), url
    assert visitor.get("/node.json").status_code == 401
    refused = visitor.get("/dicom-web/studies")
    assert refused.status_code == 401 and "Bearer" in refused.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("role", "upload", "users"),
    [("viewer", 403, 403), ("contributor", 200, 403), ("administrator", 200, 200)],
)
def test_a_role_opens_what_it_says(site: Site, role: str, upload: int, users: int) -> None:
    visitor = site.signed_in(role)
    assert visitor.get("/studies").status_code == 200
    assert visitor.get("/upload").status_code == upload
    assert [visitor.get(url).status_code for url in ADMINISTRATORS_PAGES] == [users, users]


def test_a_viewer_cannot_upload_recode_or_delete(site: Site, ct: bytes) -> None:
    study = site.signed_in("contributor").upload(("a.dcm", ct))[0]["studies"][0]
    viewer = site.signed_in("viewer")
    assert viewer.client.post("/uploads", json={}, headers={"X-Form-Key": viewer.key}).status_code == 403
    for act in ("again", "decompress", "delete"):
        assert viewer.post(f"/studies/{study}/{act}", reason="because", sure="yes").status_code == 403
    assert (
        site.signed_in("contributor")
        .post(f"/studies/{study}/delete", reason="because", sure="yes")
        .status_code
        == 403
    )
    assert site.archive.index.study(study).instances == 1  # type: ignore[union-attr]


def test_what_changes_something_needs_the_key_of_our_own_form(site: Site) -> None:
    visitor = site.signed_in("administrator")
    for key in ("", "wrong", visitor.key + "x"):
        assert (
            visitor.post("/users", key=key, name="mallory", role="viewer", password=PASSWORD).status_code
            == 403
        )
    assert "mallory" not in [user.name for user in site.accounts.users()]
    assert visitor.post("/users", name="mallory", role="viewer", password=PASSWORD).status_code == 303


def test_a_page_of_another_site_cannot_make_a_browser_act(site: Site) -> None:
    visitor = site.signed_in("administrator")
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = visitor.client.post("/sign-out", data={"form_key": visitor.key}, headers=headers)
        assert answer.status_code == 403
    opened = site.visitor()
    assert (
        opened.client.post(
            "/dicom-web/studies", data=b"x", headers={"Origin": "https://evil.example"}
        ).status_code
        == 403
    )


def test_the_cookie_is_for_this_site_and_no_script(site: Site) -> None:
    site.accounts.add("root", "administrator", PASSWORD, by="test")
    visitor = site.visitor()
    cookie = visitor.sign_in("root").headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Secure" not in cookie
    secure = (
        site.visitor()
        .client.post("/sign-in", data={"name": "root", "password": PASSWORD}, base_url="https://localhost")
        .headers["Set-Cookie"]
    )
    assert "; Secure" in secure


def test_signing_out_ends_the_session_also_for_a_copy_of_the_cookie(site: Site) -> None:
    visitor = site.signed_in("viewer")
    cookie = visitor.client.get_cookie("dicomnn_session")
    assert cookie is not None
    visitor.post("/sign-out")
    thief = site.visitor()
    thief.client.set_cookie("dicomnn_session", cookie.value)
    assert thief.get("/studies").status_code == 302


def test_ten_wrong_passwords_are_slowed_down_also_for_dicomweb(site: Site) -> None:
    site.accounts.add("root", "administrator", PASSWORD, by="test")
    answers = [site.visitor().sign_in("root", "wrong password") for _ in range(10)]
    assert [answer.status_code for answer in answers[:4]] == [401] * 4
    assert answers[-1].status_code == 429 and int(answers[-1].headers["Retry-After"]) >= 1
    assert "too many wrong passwords" in answers[-1].text.lower()
    basic = site.visitor().get("/dicom-web/studies", auth=("root", PASSWORD))
    assert basic.status_code == 429


@pytest.mark.parametrize(
    "goal", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x"]
)
def test_signing_in_leads_nowhere_else(site: Site, goal: str) -> None:
    site.accounts.add("root", "administrator", PASSWORD, by="test")
    answer = site.visitor().client.post("/sign-in", data={"name": "root", "password": PASSWORD, "next": goal})
    assert answer.location == "/studies"


def test_a_token_serves_dicomweb_with_the_rights_of_its_user(site: Site, ct: bytes) -> None:
    site.signed_in("administrator").upload(("a.dcm", ct))
    site.signed_in("viewer")
    token = site.accounts.new_token("one-viewer", "ohif")
    stranger = site.visitor()
    for headers in ({"Authorization": f"Bearer {token}"},):
        assert len(stranger.get("/dicom-web/studies", headers=headers).json) == 1  # type: ignore[arg-type]
    assert stranger.get("/dicom-web/studies", auth=("any", token)).status_code == 200
    assert stranger.get("/dicom-web/studies", headers={"Authorization": "Bearer dnn_x"}).status_code == 401
    stow = stranger.client.post("/dicom-web/studies", data=b"x", headers={"Authorization": f"Bearer {token}"})
    assert stow.status_code == 403


def test_every_access_is_in_the_audit_table(site: Site, ct: bytes) -> None:
    administrator = site.signed_in("administrator")
    study = administrator.upload(("a.dcm", ct))[0]["studies"][0]
    viewer = site.signed_in("viewer")
    for _ in range(3):
        assert viewer.get(f"/studies/{study}").status_code == 200
    viewer.get("/upload")
    site.visitor().sign_in("one-viewer", "wrong")
    deeds = [(deed.who, deed.action, deed.outcome, deed.address) for deed in site.accounts.deeds(100)]
    assert deeds.count(("one-viewer", "open study", "done", "127.0.0.1")) == 1  # once in five minutes
    assert ("one-administrator", "upload", "done", "127.0.0.1") in deeds
    assert ("one-viewer", "sign in", "done", "127.0.0.1") in deeds
    assert ("one-viewer", "GET pages.upload", "refused 403", "127.0.0.1") in deeds
    assert ("nobody", "sign in", "refused 401", "127.0.0.1") in deeds
    page = administrator.get("/audit").text
    assert "open study" in page and study in page


def test_every_answer_carries_the_policy_and_no_page_has_script_or_style_in_it(site: Site, ct: bytes) -> None:
    administrator = site.signed_in("administrator")
    study = administrator.upload(("a.dcm", ct))[0]["studies"][0]
    for url in (
        "/studies",
        "/upload",
        "/node",
        "/users",
        "/audit",
        "/account",
        f"/studies/{study}",
        "/nowhere",
    ):
        answer = administrator.get(url)
        assert answer.headers["Content-Security-Policy"] == POLICY and "unsafe" not in POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert (
            "<style" not in answer.text
            and " style=" not in answer.text
            and " on" + "click=" not in answer.text
        )
        assert all("src=" in tag for tag in answer.text.split("<script")[1:])
        assert "http://" not in answer.text.replace("http://www.w3.org", "") and "https://" not in answer.text


def test_no_node_listens_beyond_loopback_without_users(tmp_path: Path) -> None:
    config = Config().with_("archive", path=str(tmp_path / "a")).with_("web", bind="0.0.0.0", port=0)
    with pytest.raises(ConfigurationError, match="without users"):
        Node(config.with_("node", port=0).with_("coding", workers=-1)).start()
