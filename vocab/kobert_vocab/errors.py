"""The one error that is the user's to mend."""


class InputError(Exception):
    """Something a person gave cannot be used.

    The message is one line: what is wrong, where (file:line), and what to do. The command line
    prints it and exits with 2; a traceback would add nothing.
    """
