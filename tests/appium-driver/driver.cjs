// An Appium driver that plays UiAutomator2: sessions, an app that is installed, cleared, started and tapped through, and
// faults that a test switches on. What AppWright 0.1 and the qgjob worker call is here, and nothing else.
//
// In APPIUM_HOME/stand-in it keeps events.ndjson (append-only: what happened to which phone), UDID.json (what is on that
// phone), and reads faults.json: [{"when": COMMAND, "do": refuse|die|gone|exit|hang|slow, "text": …}].
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { BaseDriver, errors } = require('appium/driver');
const { DOMImplementation, XMLSerializer } = require('@xmldom/xmldom');
const xpath = require('xpath');
const shop = require('./shop.cjs');

const FOLDER = path.join(process.env.APPIUM_HOME, 'stand-in');
const PNG =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==';
const KEY = 'element-6066-11e4-a52e-4f735466cecf';
const COMMANDS = [
  ...['createSession', 'deleteSession', 'execute', 'findElements', 'elementDisplayed', 'click', 'setValue', 'getText'],
  ...['getPageSource', 'getScreenshot', 'getWindowRect'],
];
const ATTRIBUTES = { text: 'text', textContains: 'text', resourceId: 'resource-id', resourceIdMatches: 'resource-id' };

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
    this.udid = granted.udid ?? 'emulator-5554';
    this.app = undefined;
    this.elements = [];
    this.note('session');
    const { app, appPackage } = granted;
    if (granted.fullReset && this.phone().installed[appPackage]) await this.remove(appPackage);
    if (app && !this.phone().installed[appPackage]) await this.install(app, appPackage);
    if (granted.autoLaunch !== false && appPackage) await this.activate(appPackage);
    return [id, granted];
  }

  async deleteSession(...of) {
    this.note('quit');
    await super.deleteSession(...of);
  }

  async execute(script, args) {
    return await this.executeMethod(script, args);
  }

  // Apps.

  async install(from, as) {
    const appId = as ?? path.basename(from, '.apk');
    this.change((phone) => (phone.installed[appId] = {}));
    this.note('install', { appId });
  }

  async remove(appId) {
    this.app = undefined;
    this.change((phone) => delete phone.installed[appId]);
    this.note('remove', { appId });
    return true;
  }

  async isInstalled(appId) {
    return appId in this.phone().installed;
  }

  async clear(appId) {
    this.require(appId);
    this.app = undefined;
    this.change((phone) => (phone.installed[appId] = {}));
    this.note('clear', { appId });
  }

  async terminate(appId) {
    const ran = this.app?.id === appId;
    if (ran) this.app = undefined;
    this.note('terminate', { appId });
    return ran;
  }

  async activate(appId) {
    this.require(appId);
    if (this.app?.id !== appId) this.app = { id: appId, ...shop.start(this.phone().installed[appId]) };
    this.note('front', { appId });
  }

  require(appId) {
    if (!(appId in this.phone().installed)) throw new errors.UnknownError(`Unable to find package: ${appId}`);
  }

  // The screen.

  async findElOrEls(strategy, selector, many) {
    const found = xpath.select(strategy === 'xpath' ? selector : this.toXPath(selector), this.screen().document);
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
    this.at(element).tap?.();
    this.change((phone) => (phone.installed[this.app.id] = this.app.data));
  }

  async setValue(value, element) {
    this.at(element);
    this.app.typed = [value].flat().join('');
  }

  async getText(element) {
    return this.at(element).words;
  }

  async elementDisplayed(element) {
    this.at(element);
    return true;
  }

  async getPageSource() {
    return new XMLSerializer().serializeToString(this.screen().document);
  }

  async getScreenshot() {
    this.note('screenshot');
    return PNG;
  }

  async getWindowRect() {
    return { x: 0, y: 0, width: 1080, height: 2400 };
  }

  at(element) {
    const shown = this.screen().shown[this.elements[element]];
    if (!shown) throw new errors.StaleElementReferenceError();
    return shown;
  }

  screen() {
    const document = new DOMImplementation().createDocument(null, 'hierarchy', null);
    const shown = this.app ? shop.show(this.app) : [];
    shown.forEach(({ kind, words, id }, index) => {
      const node = document.createElement(kind);
      node.setAttribute('index', `${index}`);
      node.setAttribute('text', words ?? '');
      node.setAttribute('resource-id', id ?? '');
      document.documentElement.appendChild(node);
    });
    return { document, shown };
  }

  // The phone, and what happens to it.

  phone() {
    try {
      return JSON.parse(fs.readFileSync(path.join(FOLDER, `${this.udid}.json`)));
    } catch {
      return { installed: {} };
    }
  }

  change(how) {
    const phone = this.phone();
    how(phone);
    fs.mkdirSync(FOLDER, { recursive: true });
    fs.writeFileSync(path.join(FOLDER, `${this.udid}.json`), JSON.stringify(phone));
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

module.exports = { StandInDriver, default: StandInDriver };
