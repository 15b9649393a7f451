# syntax=docker/dockerfile:1

FROM python:3.11.14-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/cartbridge
# Before the code: a change of the code leaves this layer as it is.
COPY requirements.txt ./
RUN /opt/cartbridge/bin/pip install --no-deps --require-hashes -r requirements.txt
COPY .env.example LICENSE README.md offers.example.toml pyproject.toml ./
COPY deploy/systemd/ deploy/systemd/
COPY migrations/ migrations/
COPY tasks/ tasks/
COPY worker/ worker/
COPY workflows/ workflows/
RUN /opt/cartbridge/bin/pip install --no-deps . && /opt/cartbridge/bin/pip check


FROM python:3.11.14-slim
LABEL org.opencontainers.image.title="Cartbridge" \
      org.opencontainers.image.licenses="Apache-2.0"
# Numbers, so that a platform that forbids root can see that this is not root.
RUN groupadd --gid 10001 cartbridge && \
    useradd --uid 10001 --gid 10001 --home-dir /var/lib/cartbridge --create-home --shell /usr/sbin/nologin cartbridge
COPY --from=build /opt/cartbridge /opt/cartbridge
ENV PATH="/opt/cartbridge/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CARTBRIDGE_LOG_FORMAT=json \
    CARTBRIDGE_WEB__HOST=0.0.0.0 \
    CARTBRIDGE_WEB__PORT=8080
# The embedded ledger and the offers file lie here: mount a volume.
WORKDIR /var/lib/cartbridge
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
# `web` and `up` answer; switch it off for `worker` and `beat`, which serve no HTTP.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['CARTBRIDGE_WEB__PORT'] + '/livez', timeout=4).close()"]
ENTRYPOINT ["cartbridge"]
CMD ["up"]
