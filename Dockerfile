# The gateway as an image:
#
#   docker build -t lmgw .
#   docker run --rm -p 8080:8080 lmgw --demo
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges -e ANTHROPIC_API_KEY \
#     -p 8080:8080 -p 127.0.0.1:8081:8081 -v /etc/lm-gateway:/etc/lm-gateway:ro --stop-timeout 45 lmgw
#
# It logs to stdout, writes no file, never serves as root. docker kill -s HUP reloads /etc/lm-gateway.
# Keys may also stand in a file: -v ./.env:/run/lmgw/.env:ro. If only root may read it, start as root (--user 0:0) with
# --cap-add SETUID --cap-add SETGID: the entrypoint reads it and becomes the service's user. See stacks/claw-router.

ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /src
COPY constraints.txt ./
RUN pip install --quiet --no-cache-dir --constraint constraints.txt setuptools wheel
COPY setup.cfg pyproject.toml MANIFEST.in LICENSE README.md ./
COPY lmgw lmgw
COPY twisted_plugins twisted_plugins
RUN pip wheel --quiet --no-cache-dir --no-deps --no-build-isolation --wheel-dir /src/dist .
# No pip in there: what serves cannot install.
RUN python -m venv --without-pip /opt/lmgw
RUN pip --python /opt/lmgw/bin/python install --quiet --no-cache-dir --constraint constraints.txt "$(echo /src/dist/*.whl)[tokens]"

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="lmgw" \
      org.opencontainers.image.description="A gateway between applications and language models" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/lmgw /opt/lmgw
COPY etc/lm-gateway /etc/lm-gateway
ENV PATH=/opt/lmgw/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    LMG_CLIENT_HOST=:: \
    LMG_ADMIN_HOST=::
# Twisted's cache of plugins, which it cannot write later.
RUN twistd --help > /dev/null
RUN groupadd --gid 10001 lmgw && \
    useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin lmgw
USER 10001:10001
WORKDIR /
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["lmgw", "healthcheck"]
ENTRYPOINT ["python", "-P", "-m", "lmgw.entrypoint"]
