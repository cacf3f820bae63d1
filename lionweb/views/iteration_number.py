from django.http import Http404, HttpRequest


def iteration_number(request: HttpRequest) -> int | None:
    """Which iteration the URL asks for; None: the last one.

    Raises:
        Http404: it is not a number.
    """
    given = request.GET.get("iteration")
    if given is None:
        return None
    if not given.isdecimal() or len(given) > 9:
        raise Http404("An iteration is named by its number.")
    return int(given)
