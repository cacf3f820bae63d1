from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_GET

from lionweb.models import Stage, StageKind

PAGES = {StageKind.REVIEW: "review-gate", StageKind.APPROVE: "approval-gate"}


@require_GET
def gate_of_stage(request: HttpRequest, pk: int) -> HttpResponse:
    stage = get_object_or_404(Stage.objects.select_related("iteration"), pk=pk)
    if stage.kind not in PAGES:
        raise Http404("This stage is no gate.")
    return redirect(PAGES[StageKind(stage.kind)], stage.iteration.experiment_id, stage.iteration.number)
