// Preloaded into Playwright's runner and its workers: AppWright's `device` attaches to the session that the qgjob worker
// has opened, instead of opening one, and installing the build, for every test. The specs and their configuration stay
// as they are.
//
// Run as a program, `node qgjob-attach.cjs PROJECT` says which of the names that it replaces are not there.
'use strict';

const net = require('node:net');
const path = require('node:path');
const { createRequire } = require('node:module');
const { pathToFileURL } = require('node:url');

const PROVIDERS = ['emulator', 'local', 'browserstack', 'lambdatest'];
const SCREENSHOT_MS = 10_000;
// Of webdriver, which applies them to sessions that it opens. Without the count it repeats a failed command for ever.
const DEFAULTS = { connectionRetryTimeout: 120_000, connectionRetryCount: 3, logLevel: 'warn' };

// AppWright has no "exports", so its modules can be had one by one. Everything that is replaced is found here.
function internals(project) {
  const fromProject = createRequire(path.join(project, 'package.json'));
  const main = fromProject.resolve('appwright');
  const dist = path.dirname(main);
  const fromAppWright = createRequire(main);
  const load = (name) => {
    try {
      return fromAppWright(path.join(dist, name));
    } catch (error) {
      if (error.code === 'MODULE_NOT_FOUND' && error.message.includes(path.join(dist, name))) return {};
      throw error;
    }
  };
  const providers = PROVIDERS.flatMap((name) => Object.values(load(`providers/${name}/index.js`)));
  return {
    providers: providers.filter((provider) => typeof provider?.prototype?.getDevice === 'function'),
    Device: load('device/index.js').Device,
    globalSetup: load('global-setup.js'),
    test: fromAppWright('@playwright/test').test,
    webdriver: () => import(pathToFileURL(fromAppWright.resolve('webdriver'))),
  };
}

async function missing(project) {
  const found = internals(project);
  const WebDriver = (await found.webdriver()).default;
  return [
    ['getDevice of a provider', found.providers.length > 0],
    ['Device', typeof found.Device === 'function' && typeof found.Device.prototype.close === 'function'],
    ['globalSetup', typeof found.globalSetup.default === 'function'],
    ['attachToSession of webdriver', typeof WebDriver?.attachToSession === 'function'],
  ].flatMap(([name, there]) => (there ? [] : [name]));
}

const base64 = (text) => Buffer.from(text).toString('base64');

function attach(project, session) {
  const { providers, Device, globalSetup, test, webdriver } = internals(project);
  const url = new URL(session.url);
  const address = {
    protocol: url.protocol.slice(0, -1),
    hostname: url.hostname,
    port: Number(url.port) || (url.protocol === 'https:' ? 443 : 80),
    path: url.pathname,
    // webdriver's own `user` and `key` go with the request for a new session only.
    ...(session.user ? { headers: { Authorization: `Basic ${base64(`${session.user}:${session.key}`)}` } } : {}),
  };

  // It would upload the build, or look for an emulator and a JDK.
  globalSetup.default = async (config) => {
    if (config.projects.length > 1 && !process.argv.includes('--project')) {
      const names = config.projects.map((each) => each.name).join(', ');
      throw new Error(`The configuration has the projects ${names}: name one with --setting project=NAME.`);
    }
  };

  for (const provider of providers) {
    const { prototype } = provider;
    prototype.globalSetup = async () => {};
    prototype.syncTestDetails = prototype.downloadVideo = provider.downloadVideo = undefined;
    prototype.getDevice = async function getDevice() {
      const { resetS, error } = await firstState(session.socket);
      if (error) throw new Error(`qgjob: ${error}`);
      test.info().annotations.push({ type: 'qgjob-reset-s', description: String(resetS) });
      const WebDriver = (await webdriver()).default;
      const { sessionId, capabilities, appId } = session;
      const client = await WebDriver.attachToSession({ ...DEFAULTS, ...address, sessionId, capabilities });
      this.sessionId = sessionId;
      const { use } = this.project;
      const device = new Device(client, appId, { expectTimeout: use.expectTimeout }, use.device?.provider);
      device.close = () => screenshotIfFailed(client, test.info()); // and not the session: it is the worker's
      return device;
    };
  }
}

// The worker resets the app, and answers when that is done.
function firstState(socket) {
  return new Promise((resolve, reject) => {
    let answer = '';
    net
      .connect(socket)
      .setEncoding('utf8')
      .on('data', (text) => (answer += text))
      .on('error', () => reject(new Error('qgjob: the worker is gone')))
      .on('end', () => (answer ? resolve(JSON.parse(answer)) : reject(new Error('qgjob: the worker is gone'))));
  });
}

async function screenshotIfFailed(client, info) {
  if (info.status === info.expectedStatus) return;
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, SCREENSHOT_MS)));
  try {
    const png = await Promise.race([client.takeScreenshot(), late]);
    if (png) await info.attach('screenshot', { body: Buffer.from(png, 'base64'), contentType: 'image/png' });
  } catch {
    // The test has failed already, and why is not to be hidden.
  } finally {
    clearTimeout(timer);
  }
}

if (require.main === module) {
  missing(process.argv[2]).then((names) => process.stdout.write(JSON.stringify(names), () => process.exit(0)));
} else if (process.env.QGJOB_SESSION) {
  attach(process.cwd(), JSON.parse(process.env.QGJOB_SESSION));
  // The runner's workers, which talk to it, get it from its environment; what a spec starts does not get it from theirs.
  if (process.send) delete process.env.QGJOB_SESSION;
}
