import numpy as np

from data_setup.volumes.contact_sheet import COLUMNS, TITLE, contact_sheet


def test_every_slice_has_the_four_letters_and_its_place():
    count, height, width = COLUMNS + 2, 40, 60
    sheet = np.array(contact_sheet(np.zeros((count, height, width), np.uint16), tuple(range(count)), "title"))
    assert sheet.shape == (TITLE + 2 * (height + TITLE), COLUMNS * width)
    for number in range(count):
        left, top = number % COLUMNS * width, TITLE + number // COLUMNS * (height + TITLE)
        one = sheet[top:top + height, left:left + width]
        assert one[10:30, :10].any()        # R
        assert one[10:30, -10:].any()       # L
        assert one[:12, 20:40].any()        # A
        assert one[-14:, 20:40].any()       # P
    assert not sheet[TITLE + height + TITLE:, 2 * width:].any()
