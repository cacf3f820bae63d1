from django.http import Http404

from lionweb.models import Iteration


def iteration_of(experiment: int, number: int) -> Iteration:
    """With its experiment and its owner. Raises Http404."""
    found = Iteration.objects.select_related("experiment__owner").filter(experiment=experiment, number=number).first()
    if found is None:
        raise Http404("There is no such iteration.")
    return found
