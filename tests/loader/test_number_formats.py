"""What people see of numbers whose format pads them with zeros."""

import pytest

from loader.number_formats import zero_format


@pytest.mark.parametrize(
    ("code", "value", "text"),
    [
        # as spreadsheet programs show them
        ("00000000000000", "12345678905", "00012345678905"),
        ("00000000000000", "1.2345678905E10", "00012345678905"),
        ("00000", "2134", "02134"),
        ("00000", "0", "00000"),
        ("00000", "123456", "123456"),
        ("00000", "-5", "-00005"),
        ("000-00-0000", "78051120", "078-05-1120"),
        (r"000\-00\-0000", "78051120", "078-05-1120"),
        ('000"-"00"-"0000', "12345678901", "12345-67-8901"),
        ("[$-409]00000", "2134", "02134"),
        ("[$-F400]00000", "2134", "02134"),
        ('"SN"0000', "7", "SN0007"),
        ('"Lot 00;0 "000', "7", "Lot 00;0 007"),
        ("[Red]0000", "7", "0007"),
        ("00000;-00000", "-7", "-00007"),
        ("00000;(00000)", "-7", "(00007)"),
        ('00000;-00000;"none"', "7", "00007"),
        ("00000_);(00000)", "7", "00007"),
        ("* 00000", "7", "00007"),
        ("[<=99999]00000;00000-0000", "2134", "02134"),
        ("[<=99999]00000;00000-0000", "21340001", "02134-0001"),
        (r"[<=9999999]000\-0000;\(000\)\ 000\-0000", "5550100", "555-0100"),
        (r"[<=9999999]000\-0000;\(000\)\ 000\-0000", "2025550100", "(202) 555-0100"),
        (r"00\:00", "930", "09:30"),
        (r"00\/00\/0000", "1022026", "01/02/2026"),
        ("#00", "5", "05"),
        ("#00", "1234", "1234"),
        ("000;[Red]General", "5", "005"),
        # quantities, and what such a format does not show whole
        ("00000", "2.5", None),
        ("00000", "abc", None),
        ("00000", "NaN", None),
        ('00000;-00000;"none"', "0", None),
        ("000;[Red]General", "-5", None),
        ("[<=99999]00000", "100000", None),
    ],
)
def test_shown(code: str, value: str, text: str | None) -> None:
    """The text that people see, where it is a whole number."""
    padded = zero_format(code)
    assert padded is not None
    assert padded.text(value) == text


@pytest.mark.parametrize(
    "code",
    [
        *("0", "#", "General", "@", "#,##0", "0.00", "000.0", "0,000", "0%", "00%", "0.00E+00"),
        *(
            "0/0",
            "00/00",
            "yyyy-mm-dd",
            "[h]:mm:ss",
            "mm:ss.00",
            '0" kg"',
            '"00000"0',
            "##0",
            "?00",
        ),
        *("[DBNum1]000", '"', "", "000" * 100, "0;0;0", "00;" * 5),
    ],
)
def test_quantities(code: str) -> None:
    """Formats of other kinds, and codes that are none, are left alone."""
    assert zero_format(code) is None
