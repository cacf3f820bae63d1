from lionweb.models import Iteration


def iteration_of(experiment: int, number: int) -> Iteration:
    """With its experiment. Raises Iteration.DoesNotExist."""
    return Iteration.objects.select_related("experiment__owner").get(experiment=experiment, number=number)
