"""QIDO-RS: the archive's search, asked by parameters and answered in JSON (PS3.18 10.6)."""

from __future__ import annotations

from flask import Blueprint, Response, request

from dicomnn.dicom.json_answers import json_answer
from dicomnn.dicom.query_keys import Level
from dicomnn.dicom.web_query import Parameters, parse_parameters
from dicomnn.flow.query import Answer
from scp.web.dicomweb.accept import choices, takes_json
from scp.web.dicomweb.answers import NotAcceptable, as_json
from scp.web.dicomweb.resources import checked, url
from scp.web.services import Services

ONLINE = "ONLINE"
_NOT_MATCHED = {"accept", "charset"}


def add_routes(blueprint: Blueprint, services: Services) -> None:
    def search(level: Level, study: str = "", series: str = "") -> Response:
        return answered(services, level, study, series)

    routes = (("/studies", Level.STUDY), ("/series", Level.SERIES), ("/instances", Level.IMAGE),
              ("/studies/<study>/series", Level.SERIES), ("/studies/<study>/instances", Level.IMAGE),
              ("/studies/<study>/series/<series>/instances", Level.IMAGE))
    for number, (path, level) in enumerate(routes):
        blueprint.add_url_rule(path, f"search-{number}", search, defaults={"level": level}, methods=["GET"])


def answered(services: Services, level: Level, study: str, series: str) -> Response:
    """Matches of one level, within a study or series where the path names one."""
    checked(study, series)
    if not takes_json(choices(request)):
        raise NotAcceptable
    fixed = [(name, value) for name, value in (("StudyInstanceUID", study), ("SeriesInstanceUID", series))
             if value]
    asked = [(name, value) for name, value in request.args.items(multi=True)
             if name.lower() not in _NOT_MATCHED]
    parameters = parse_parameters(level, asked, fixed)
    answers, warnings = _found(services, parameters)
    if parameters.fuzzy:
        warnings.append("The fuzzymatching parameter is not supported. Only literal matching has been "
                        "performed.")
    if parameters.ignored:
        warnings.append("These parameters mean nothing at this level and were passed over: "
                        + ", ".join(parameters.ignored))
    return as_json([_json(services, level, parameters, answer) for answer in answers], warnings=warnings)


def _found(services: Services, parameters: Parameters) -> tuple[list[Answer], list[str]]:
    """Who gives a limit gets that page of the matches; who gives none gets all, or is refused (413)."""
    search = services.search
    if parameters.limit is None and not parameters.offset:
        return list(search.answers(parameters.query)), []
    most = min(filter(None, (parameters.limit, search.limit)), default=search.limit)
    if parameters.limit == 0:
        return [], []
    answers, more = search.page(parameters.query, parameters.offset, most or 1 << 30)
    cut = more and (parameters.limit is None or parameters.limit > most)
    return answers, ["The number of results exceeded the maximum supported by the server. Additional results "
                     "can be requested."] if cut else []


def _json(services: Services, level: Level, parameters: Parameters, answer: Answer) -> dict[str, object]:
    row = answer.row
    place = [str(row.get(name) or "") for name in ("study_instance_uid", "series_instance_uid",
                                                   "sop_instance_uid")][:int(level)]
    return json_answer(parameters.query, row, retrieve_url=url(*place), retrieve_ae_title=services.ae_title,
                       availability=services.coded_availability if answer.coded else ONLINE)
