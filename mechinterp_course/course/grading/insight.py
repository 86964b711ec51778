"""Where a class is, and where it is stuck: everything that the report shows, as plain data.

Reads the standing, the records and the progress files that were handed in; computes, and draws nothing. Must not import nbgrader.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from statistics import median

from ...tutor.catalog import Course
from ...tutor.notebook import by_id, source
from ..build import solved
from . import effort as efforts
from . import similarity
from .effort import Effort
from .folder import ClassFolder
from .graded import FAILED
from .items import item
from .records import is_starter
from .standing import MISSING, WAITING, Place, Standing, standing

FEW_FOR_TIME = 3  # progress files, below which no time is shown
HALF = 0.5  # of a lab's points: below it, and among the lowest of the class, somebody may need help
LOWEST = 0.2  # of the class
MOST = 0.7  # of the class
SHOWN_PAIRS = 60  # pairs with their code beside each other; the others are named


def insight(made: ClassFolder, course: Course, labs: list[str], say: Callable[[str], None] = lambda text: None) -> dict:
    """Return what the report shows of these labs. `say` is told what is being looked at."""
    say("points")
    stand = standing(made, course, labs)
    say("progress files")
    progress = {id: efforts.read(files) for id in stand.students if (files := made.progress_files(id))}
    pages = []
    for lab in labs:
        say(lab)
        pages.append(_lab(made, course, stand, lab, progress))
    return {
        "class": made.name,
        "course": course.title,
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "labs": pages,
        "students": _students(stand, labs),
        "progress_files": len(progress),
        "help": _help(stand, pages, progress),
        "look": [row for lab in labs for row in _look(stand, lab)],
    }


# --- one lab --------------------------------------------------------------------------------------------------------


def _lab(made: ClassFolder, course: Course, stand: Standing, lab: str, progress: dict) -> dict:
    lesson, places = course.lesson(lab), stand.places[lab]
    released = by_id(json.loads(made.released(lab)))
    starters = {exercise.name: source(released.get(exercise.name, {})) for exercise in lesson.exercises}
    published = similarity.functions(lesson.folder / "checks.py")
    solutions = {exercise.name: [solved(exercise.answer.source), *published] for exercise in lesson.exercises}
    ran = [place for place in places.values() if place.record and place.state != FAILED]
    states = Counter(place.state for place in places.values())
    return {
        "stem": lab,
        "title": f"{lesson.number} {lesson.title}",
        "total": stand.total(lab),
        "states": dict(states),
        "ran": len(ran),
        "points": [place.score for place in ran],
        "exercises": [_exercise(exercise, stand, lab, ran, starters, progress) for exercise in lesson.exercises],
        "alike": _alike(ran, starters, solutions),
    }


def _exercise(exercise, stand: Standing, lab: str, ran: list[Place], starters: dict, progress: dict) -> dict:
    name, worth = exercise.name, stand.worth[lab][exercise.name]
    passed = [place.points.get(name, 0.0) >= worth for place in ran]
    others = stand.total(lab) - worth
    rest = [(sum(place.points.values()) - place.points.get(name, 0.0)) / others if others else 0.0 for place in ran]
    outcomes = [_outcome(place, name) for place in ran]
    blank = sum(is_starter(place.record.answers.get(name, starters[name]), starters[name]) for place in ran)
    worked = [own[name] for own in progress.values() if name in own]
    minutes = [work.minutes for work in worked if work.minutes > 0]
    return {
        "name": name,
        "title": exercise.card.title,
        "worth": worth,
        "minutes": exercise.card.minutes,
        "importance": exercise.card.importance,
        **asdict(item(passed, rest)),
        "blank": blank,
        "hidden": sum(one.hidden is False for one in outcomes if one),
        "seconds": round(median([one.seconds for one in outcomes if one] or [0.0]), 3),
        "took": round(median(minutes), 1) if len(minutes) >= FEW_FOR_TIME else None,
        "times": [round(one, 1) for one in minutes] if len(minutes) >= FEW_FOR_TIME else [],
        "worked": len(worked),
        "hints": [sum(level in work.hints for work in worked) for level in (1, 2, 3)],
        "gave_up": sum(work.gave_up for work in worked),
        "borrowed": sum(work.borrowed for work in worked),
        "mistakes": _mistakes(name, ran, worked),
    }


def _outcome(place: Place, name: str):
    return next((one for one in place.record.graded.outcomes if one.exercise == name), None)


def _mistakes(name: str, ran: list[Place], worked: list) -> list[dict]:
    """Return the named mistakes of one exercise, the commonest first: who handed it in, and how many met it on their way."""
    who, says = defaultdict(list), {}
    for place in ran:
        outcome = _outcome(place, name)
        if outcome and outcome.mistake:
            who[outcome.mistake].append(place.student)
            says.setdefault(outcome.mistake, _says(outcome.told, outcome.mistake))
    on_the_way = Counter(mistake for work in worked for mistake in work.mistakes)
    names = sorted(set(who) | set(on_the_way), key=lambda one: (-len(who[one]), -on_the_way[one], one))
    return [
        {"name": one, "says": says.get(one, ""), "students": who[one], "met": on_the_way[one]}
        for one in names[:20]
        if who[one] or on_the_way[one] > 1
    ]


def _says(told: str, mistake: str) -> str:
    """Return what the learner is told of a mistake, from the verdict's lines."""
    mark = f"This looks like: {mistake}."
    line = next((line for line in told.splitlines() if line.startswith(mark)), "")
    return line.removeprefix(mark).strip()


def _alike(ran: list[Place], starters: dict, solutions: dict) -> list[dict]:
    answers = {place.student: place.record.answers for place in ran}
    rows = []
    for at, pair in enumerate(similarity.look_at(answers, starters, solutions)):
        matches = []
        for match in pair.matches:
            codes = [answers[one].get(match.exercise, "") for one in (pair.first, pair.second)]
            matches.append({**asdict(match), "codes": codes if at < SHOWN_PAIRS else []})
        rows.append({"who": [pair.first, pair.second], "matches": matches, "compared": pair.compared})
    return rows


# --- the students ---------------------------------------------------------------------------------------------------


def _students(stand: Standing, labs: list[str]) -> list[dict]:
    rows = []
    for id, student in stand.students.items():
        cells = [_cell(stand.places[lab][id]) for lab in labs]
        name = " ".join(filter(None, [student.first_name, student.last_name]))
        rows.append({"id": id, "name": name, "cells": cells})
    return rows


def _cell(place: Place) -> list:
    """Return [state, points]: points are None where there are none yet."""
    has_points = place.state not in (MISSING, WAITING)
    return [place.state, place.score if has_points else None]


def _help(stand: Standing, pages: list[dict], progress: dict) -> list[dict]:
    """Return the students who may need help, those who miss most points first, each with the reasons."""
    rows = []
    for id in stand.students:
        reasons, missed = [], 0.0
        for page in pages:
            said, points = _needs(stand, page, id)
            reasons += said
            missed += points
        own = progress.get(id, {})
        gave_up = [one["name"] for page in pages for one in page["exercises"] if _gave_up(own.get(one["name"]))]
        if len(gave_up) >= 2:
            reasons.append(f"looked up the answers of {len(gave_up)} exercises ({', '.join(gave_up[:4])})")
        if reasons:
            rows.append({"id": id, "reasons": reasons, "missed": missed})
    return sorted(rows, key=lambda row: (-row["missed"], row["id"]))


def _gave_up(work: Effort | None) -> bool:
    return work is not None and work.gave_up


def _needs(stand: Standing, page: dict, id: str) -> tuple[list[str], float]:
    """Return why one student may need help in one lab, and the points missed there."""
    lab, place = page["stem"], stand.places[page["stem"]][id]
    share_here = 1 - page["states"].get(MISSING, 0) / max(1, len(stand.students))
    if place.state == MISSING:
        if share_here < HALF:
            return [], 0.0  # the lab has only begun
        return [f"handed in nothing for {lab}, and {share_here:.0%} of the class did"], page["total"]
    if place.state == WAITING:
        return [], 0.0
    missed = page["total"] - place.score
    if place.state == FAILED:
        return [f"{lab} could not be graded: {place.record.graded.reason}"], missed
    if place.score < HALF * page["total"] and place.score <= _quantile(page["points"], LOWEST):
        return [f"{place.score:g} of {page['total']:g} points in {lab}"], missed
    important = [
        one["name"]
        for one in page["exercises"]
        if one["importance"] == 5
        and (one["facility"] or 0) >= MOST
        and one["n"] > 4
        and place.points.get(one["name"], 0.0) < one["worth"]
    ]
    if len(important) > 1:
        return [f"has not passed {', '.join(important)} in {lab}, which most did and later lessons build on"], missed
    return [], 0.0


def _quantile(values: list[float], share: float) -> float:
    """Return the value that this share of the values do not exceed, nearly."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def _look(stand: Standing, lab: str) -> list[dict]:
    """Return the submissions that failed, were mended, hold something unusual, or at which the grader itself stopped."""
    rows = []
    for id, place in stand.places[lab].items():
        graded = place.record.graded if place.record else None
        if place.stopped:
            rows.append(
                {"id": id, "lab": lab, "state": place.state, "reason": place.stopped, "repairs": [], "flags": []}
            )
        elif graded and (graded.reason or graded.repairs or graded.flags):
            about = {"reason": graded.reason, "repairs": list(graded.repairs), "flags": list(graded.flags)}
            rows.append({"id": id, "lab": lab, "state": graded.state, **about})
    return rows
