"""Exercise 6: a stranger names a file. What may be shown of that name?"""

REPLACES = "qa_system.app.names.safe_name"
CHECKED_BY = "qa_system/tests/test_names.py"


def safe_name(name: str) -> str:
    """The last part of a path, without what could mislead a reader; "" where nothing is left.

      1. NFC; what stands behind the last / or \\, where slashes and spaces at the very end do not count;
      2. no characters of the categories Cc, Cf, Cs, Co, Cn, Zl and Zp;
      3. any white space as one space, no dots or spaces at either end;
      4. at most MOST_BYTES bytes of UTF-8, of which the suffix (_SUFFIX) stays.

    Hints: `unicodedata.category(character)`; MOST_BYTES and _SUFFIX are in `qa_system.app.names`; cutting bytes may cut
    a character in two, which `.decode(errors="ignore")` leaves out. After each step a new beginning or end may show.

    Read: "Unrestricted File Upload", https://owasp.org/www-community/vulnerabilities/Unrestricted_File_Upload
    Expect: "invoice\u202efdp.exe" is shown as "invoiceexe.pdf" where the mark that turns writing around stays.
    """
    raise RuntimeError("fill in safe_name")
