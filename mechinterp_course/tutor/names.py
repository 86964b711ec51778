"""What a learner may type on the command line: the name of an exercise, of a lesson, or "all"."""

from ..errors import CourseError, unknown
from .catalog import Course, Exercise, Lesson


def named(course: Course, name: str) -> Exercise | Lesson:
    """Return the exercise or the lesson of that name; a misspelt one raises with the nearest of both."""
    if name in course.exercises or name in course.renamed:
        return course.exercise(name)
    try:
        return course.lesson(name)
    except CourseError:
        if name.strip().zfill(2) in course.map:
            raise
    lessons = [text for lesson in course.lessons for text in (lesson.stem, lesson.slug)]
    raise unknown("exercise or lesson", name, {*course.exercises, *lessons})


def exercises_of(course: Course, name: str) -> dict[str, list[str]]:
    """Return {lesson id: exercise names} for an exercise, a lesson or "all"."""
    if name == "all":
        return {lesson.id: [e.name for e in lesson.exercises] for lesson in course.lessons}
    found = named(course, name)
    if isinstance(found, Exercise):
        return {found.lesson: [found.name]}
    return {found.id: [exercise.name for exercise in found.exercises]}
