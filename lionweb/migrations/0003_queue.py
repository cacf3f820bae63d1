from django.db import migrations, models

# Gates that were open or closed before items had a state: what people decided then counts as one opinion.
STATES_OF_OLD_ROWS = """
UPDATE lionweb_classification AS c
SET review_state = CASE
        WHEN c.person_verdict = c.referee_verdict THEN 'confirmed'
        WHEN c.person_verdict IS NOT NULL THEN 'overridden'
        WHEN s.status = 'succeeded' THEN 'closed'
        ELSE 'pending'
    END,
    person_kind = CASE WHEN c.person_verdict IN ('hard', 'easy') THEN c.person_verdict ELSE '' END,
    opinions = CASE WHEN c.person_verdict IS NULL THEN 0 ELSE 1 END
FROM lionweb_stage AS s
WHERE s.iteration_id = c.iteration_id AND s.kind = 'review' AND c.review_state = ''
  AND (c.for_review OR c.person_verdict IS NOT NULL)
"""
DECISIONS_OF_OLD_ROWS = """
INSERT INTO lionweb_decision (classification_id, person_id, kind, comment, is_resolution, created_at)
SELECT c.id, c.person_id, c.person_kind, c.person_reason, false, COALESCE(c.person_at, now())
FROM lionweb_classification AS c
WHERE c.person_kind <> '' AND c.person_id IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM lionweb_decision AS d WHERE d.classification_id = c.id)
"""


class Migration(migrations.Migration):

    dependencies = [
        ('lionweb', '0002_review_and_history'),
    ]

    operations = [
        migrations.RunSQL(STATES_OF_OLD_ROWS, migrations.RunSQL.noop),
        migrations.RunSQL(DECISIONS_OF_OLD_ROWS, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name='classification',
            index=models.Index(condition=models.Q(('for_review', True)), fields=['iteration', 'queue_rank', 'id'], name='classified_in_queue'),
        ),
        migrations.AddIndex(
            model_name='decision',
            index=models.Index(fields=['person', 'created_at'], name='decision_by_day'),
        ),
    ]
