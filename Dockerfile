# The image is the checkout: python -m api, python -m worker, alembic and qgjob all start from it.
#
# The only executor whose tools are in it is the simulated one. To drive devices, put Node.js, adb and the test project
# on top of it (FROM this image), or run python -m worker where the devices are.
FROM python:3.13-slim-bookworm

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /srv/qgjob

# What the client and the services need, in the versions and with the hashes of requirements.txt.
COPY pyproject.toml requirements.txt ./
RUN pip install --require-hashes --constraint requirements.txt --group server --group worker httpx msgspec rich typer

COPY . .
RUN pip install --require-hashes --constraint requirements.txt uv_build \
    && pip install --no-deps --no-build-isolation --editable . \
    && pip uninstall --yes uv_build \
    && pip check \
    && python -m compileall -q alembic api qgjob sql worker \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin qgjob \
    && install --directory --owner=10001 /var/lib/qgjob

USER 10001
EXPOSE 8080
STOPSIGNAL SIGTERM

# Callers show a token. The first one: python -m api token create --scope admin
CMD ["python", "-m", "api", "--host", "0.0.0.0", "--port", "8080"]
