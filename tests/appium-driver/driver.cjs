// An Appium driver that plays UiAutomator2: sessions, an app that is installed, cleared, started and tapped through, and
// faults that a test switches on. What AppWright 0.1 and the qgjob worker call is here, and nothing else. Its phones are
// those that adb lists, as for the real one: ../fake_device keeps what is installed, what runs, and what the app stores.
//
// In APPIUM_HOME/stand-in it keeps events.ndjson (append-only: what happened in which session), and reads faults.json:
// [{"when": COMMAND, "do": refuse|die|gone|exit|hang|slow, "text": …}].
'use strict';

const { execFile } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { promisify } = require('node:util');
const { BaseDriver, errors } = require('appium/driver');
const { DOMImplementation, XMLSerializer } = require('@xmldom/xmldom');
const xpath = require('xpath');
const shop = require('./shop.cjs');

const FOLDER = path.join(process.env.APPIUM_HOME, 'stand-in');
const ADB = path.join(process.env.ANDROID_HOME, 'platform-tools', 'adb');
const PNG =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==';
const KEY = 'element-6066-11e4-a52e-4f735466cecf';
const COMMANDS = [
  ...['createSession', 'deleteSession', 'execute', 'findElements', 'elementDisplayed', 'click', 'setValue', 'getText'],
  ...['getPageSource', 'getScreenshot', 'getWindowRect'],
];
const ATTRIBUTES = { text: 'text', textContains: 'text', resourceId: 'resource-id', resourceIdMatches: 'resource-id' };

const run = promisify(execFile);

class StandInDriver extends BaseDriver {
  locatorStrategies = ['xpath', '-android uiautomator'];
  shouldValidateCaps = false;

  static executeMethodMap = {
    'mobile: installApp': { command: 'install', params: { required: ['appPath'] } },
    'mobile: removeApp': { command: 'remove', params: { required: ['appId'] } },
    'mobile: isAppInstalled': { command: 'isInstalled', params: { required: ['appId'] } },
    'mobile: clearApp': { command: 'clear', params: { required: ['appId'] } },
    'mobile: terminateApp': { command: 'terminate', params: { required: ['appId'] } },
    'mobile: activateApp': { command: 'activate', params: { required: ['appId'] } },
  };

  constructor(...options) {
    super(...options);
    for (const name of COMMANDS) {
      const command = this[name];
      // Inside the command, so that one that hangs holds up those behind it, as on a real phone.
      this[name] = async (...args) => {
        await this.maybeFail(name, args);
        return await command.apply(this, args);
      };
    }
  }

  async createSession(...capabilities) {
    const [id, granted] = await super.createSession(...capabilities);
    this.udid = granted.udid ?? (await anyPhone());
    this.elements = [];
    this.note('session');
    try {
      if (granted.app) granted.appPackage ??= packageOf(granted.app);
      this.appId = granted.appPackage;
      this.wiped = granted.fullReset;
      const there = this.appId && (await this.isInstalled(this.appId));
      if (granted.fullReset && there) await this.remove(this.appId);
      if (granted.app && (granted.fullReset || !there)) await this.install(granted.app);
      if (granted.autoLaunch !== false && this.appId) await this.activate(this.appId);
    } catch (error) {
      await super.deleteSession(id);
      throw new errors.SessionNotCreatedError(error.message);
    }
    return [id, granted];
  }

  async deleteSession(...of) {
    this.note('quit');
    if (this.wiped) await this.remove(this.appId).catch(() => {});
    await super.deleteSession(...of);
  }

  async execute(script, args) {
    return await this.executeMethod(script, args);
  }

  // Apps.

  async install(from) {
    await this.adb('install', '-g', from);
  }

  async remove(appId) {
    await this.adb('uninstall', appId);
    return true;
  }

  async isInstalled(appId) {
    return (await this.shell(`pm path ${appId} || true`)).startsWith('package:');
  }

  async clear(appId) {
    await this.shell(`pm clear ${appId}`);
  }

  async terminate(appId) {
    await this.shell(`am force-stop ${appId}`);
    return true;
  }

  async activate(appId) {
    this.appId = appId;
    await this.shell(`am start ${appId}`);
  }

  // The screen: none while the app does not run.

  async app() {
    const [running, data] = (await this.shell(`cd app/${this.appId} && cat running && echo && cat data || true`)).split('\n');
    if (!running) return undefined;
    return { ...shop.start(JSON.parse(data || '{}')), ...JSON.parse(running) };
  }

  async keep({ data, ...running }) {
    const files = Object.entries({ data, running }).map(([name, value]) => {
      const text = Buffer.from(JSON.stringify(value)).toString('base64');
      return `echo ${text} | base64 -d > app/${this.appId}/${name}`;
    });
    await this.shell(files.join(' && '));
  }

  async findElOrEls(strategy, selector, many) {
    const { document } = await this.screen();
    const found = xpath.select(strategy === 'xpath' ? selector : this.toXPath(selector), document);
    const elements = found.map((node) => ({ [KEY]: `${this.elements.push(Number(node.getAttribute('index'))) - 1}` }));
    if (many) return elements;
    if (!elements.length) throw new errors.NoSuchElementError();
    return elements[0];
  }

  toXPath(selector) {
    const [, method, value] = /^(\w+)\("(.*)"\)$/.exec(selector) ?? [];
    const attribute = ATTRIBUTES[method];
    if (!attribute) throw new errors.InvalidSelectorError(selector);
    const exact = method === 'text' || method === 'resourceId';
    return exact ? `//*[@${attribute}="${value}"]` : `//*[contains(@${attribute}, "${value}")]`;
  }

  async click(element) {
    const { app, shown } = await this.at(element);
    if (!shown.tap) return;
    shown.tap();
    await this.keep(app);
  }

  async setValue(value, element) {
    const { app } = await this.at(element);
    await this.keep({ ...app, typed: [value].flat().join('') });
  }

  async getText(element) {
    return (await this.at(element)).shown.words;
  }

  async elementDisplayed(element) {
    await this.at(element);
    return true;
  }

  async getPageSource() {
    return new XMLSerializer().serializeToString((await this.screen()).document);
  }

  async getScreenshot() {
    this.note('screenshot');
    return PNG;
  }

  async getWindowRect() {
    await this.shell('true');
    return { x: 0, y: 0, width: 1080, height: 2400 };
  }

  async at(element) {
    const { app, all } = await this.screen();
    const shown = all[this.elements[element]];
    if (!shown) throw new errors.StaleElementReferenceError();
    return { app, shown };
  }

  async screen() {
    const document = new DOMImplementation().createDocument(null, 'hierarchy', null);
    const app = await this.app();
    const all = app ? shop.show(app) : [];
    all.forEach(({ kind, words, id }, index) => {
      const node = document.createElement(kind);
      node.setAttribute('index', `${index}`);
      node.setAttribute('text', words ?? '');
      node.setAttribute('resource-id', id ?? '');
      document.documentElement.appendChild(node);
    });
    return { app, all, document };
  }

  // The phone, and what happens to it.

  async shell(line) {
    return await this.adb('shell', line);
  }

  async adb(...words) {
    try {
      return (await run(ADB, ['-s', this.udid, ...words], { timeout: 30_000 })).stdout;
    } catch (error) {
      const said = `${error.stdout ?? ''}${error.stderr ?? error.message}`.trim();
      // The real one reaches a phone through a port that adb forwards, and that is gone with the phone.
      if (/device .*not found|device offline|^error: closed/.test(said)) {
        throw new errors.UnknownError(`Could not proxy command to the remote server. Original error: ${said}`);
      }
      throw new errors.UnknownError(`adb ${words[0]}: ${said}`);
    }
  }

  note(event, more) {
    fs.mkdirSync(FOLDER, { recursive: true });
    fs.appendFileSync(
      path.join(FOLDER, 'events.ndjson'),
      `${JSON.stringify({ event, udid: this.udid, server: process.pid, ...more })}\n`,
    );
  }

  async maybeFail(command, args) {
    let faults = [];
    try {
      faults = JSON.parse(fs.readFileSync(path.join(FOLDER, 'faults.json')));
    } catch {
      return;
    }
    const fault = faults.find(({ when, text }) => when === command && (!text || JSON.stringify(args).includes(text)));
    if (!fault) return;
    this.note('fault', { command, do: fault.do });
    switch (fault.do) {
      case 'refuse':
        throw new errors.SessionNotCreatedError('All parallel tests are currently in use');
      case 'gone':
        throw new errors.UnknownError('The instrumentation process is not running (probably crashed)');
      case 'die':
        await this.startUnexpectedShutdown(new Error('The phone was unplugged'));
        throw new errors.NoSuchDriverError();
      case 'exit':
        return process.exit(1);
      case 'hang':
        return await new Promise(() => {});
      case 'slow':
        return await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

async function anyPhone() {
  const { stdout } = await run(ADB, ['devices']);
  const serial = /^(\S+)\tdevice$/m.exec(stdout)?.[1];
  if (!serial) throw new errors.SessionNotCreatedError('Could not find a connected Android device');
  return serial;
}

function packageOf(apk) {
  return /package=([\w.]+)/.exec(fs.readFileSync(apk, 'latin1'))?.[1];
}

module.exports = { StandInDriver, default: StandInDriver };
