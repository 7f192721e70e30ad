// The "app" under test: answers after a moment, as a screen does.
const settle = (ms = 150) => new Promise((resolve) => setTimeout(resolve, ms));

class App {
  constructor(state = {}) {
    this.state = { screen: 'welcome', user: null, cart: [], settings: { theme: 'light', language: 'en' }, ...state };
  }

  async open(screen) {
    await settle();
    this.state.screen = screen;
    return this;
  }

  async signIn(email, password) {
    await settle(200);
    if (password !== 'correct horse') throw new Error(`wrong password for ${email}`);
    this.state.user = { email, name: email.split('@')[0] };
    this.state.screen = 'home';
  }

  async add(item, price, count = 1) {
    await settle(80);
    this.state.cart.push({ item, price, count });
  }

  total({ discount = 0 } = {}) {
    const cents = this.state.cart.reduce((sum, { price, count }) => sum + Math.round(price * 100) * count, 0);
    return Math.round(cents * (1 - discount)) / 100;
  }
}

module.exports = { App, settle };
