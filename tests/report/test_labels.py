import math
from itertools import combinations

from peftcost.report.labels import nearest, place

WITHIN = (0.0, 0.0, 1000.0, 600.0)


def apart(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_labels_of_crowded_points_do_not_meet() -> None:
    points = [(500.0 + 6 * i, 300.0 + 4 * i) for i in range(6)]
    marks = [(x - 10, y - 10, x + 10, y + 10) for x, y in points]
    boxes = place(points, [(90.0, 16.0)] * 6, marks, WITHIN, gaps=[20] * 6)
    assert all(apart(a, b) for a, b in combinations(boxes, 2))
    assert all(apart(box, mark) for box in boxes for mark in marks)


def test_a_lone_label_stands_right_beside_its_point() -> None:
    assert place([(100.0, 100.0)], [(80.0, 16.0)], [], WITHIN, gaps=[20]) == [(120.0, 92.0, 200.0, 108.0)]


def test_labels_stay_inside() -> None:
    ((left, bottom, right, top),) = place([(990.0, 590.0)], [(80.0, 16.0)], [], WITHIN, gaps=[20])
    assert left >= 0
    assert bottom >= 0
    assert right <= 1000
    assert top <= 600


def test_a_label_is_nearest_to_its_own_point() -> None:
    points = [(500.0, 300.0), (530.0, 285.0)]
    marks = [(x - 12, y - 12, x + 12, y + 12) for x, y in points]
    boxes = place(points, [(90.0, 16.0)] * 2, marks, WITHIN, gaps=[22] * 2)
    for i, box in enumerate(boxes):
        near = [math.dist(nearest(box, point), point) for point in points]
        assert near.index(min(near)) == i
