# One image for every process of Loom; which one runs is the command's choice (compose.yaml).
FROM python:3.11-slim-bookworm

RUN apt-get update && apt-get install --yes --no-install-recommends git bubblewrap \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home loom && install -d -o loom -g loom /data

WORKDIR /srv/loom
COPY requirements.txt requirements-uv.txt ./
RUN pip install --no-cache-dir --require-hashes -r requirements-uv.txt \
    && uv pip install --system --no-cache --compile-bytecode --require-hashes -r requirements.txt
COPY --chown=loom:loom . .

USER loom
ENV LOOM_DATA_DIR=/data LOOM_HOST=0.0.0.0 PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8080
CMD ["python", "manage.py", "web"]
