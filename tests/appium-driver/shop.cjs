// The app on the stand-in's phone. `data` is what it keeps there until that is cleared; `typed` and `screen` end with it.
'use strict';

const text = (words, tap) => ({ kind: 'android.widget.TextView', words, tap });
const button = (words, tap) => ({ kind: 'android.widget.Button', words, tap });
const field = (id, words) => ({ kind: 'android.widget.EditText', id, words });

const SCREENS = {
  welcome: (app) => [
    text('Welcome to the shop'),
    field('user_name', app.typed ?? ''),
    button('Sign in', () => {
      app.data.user = app.typed;
      app.screen = 'products';
    }),
  ],
  products: (app) => [
    text('Products'),
    text('Backpack', () => (app.screen = 'backpack')),
    text('Bottle'),
    button('Settings', () => (app.screen = 'settings')),
  ],
  backpack: (app) => [
    text('Backpack, 49.00'),
    button('Add to cart', () => (app.data.cart = (app.data.cart ?? 0) + 1)),
    text(`Cart (${app.data.cart ?? 0})`),
    button('Check out', () => (app.screen = 'declined')),
  ],
  declined: () => [text('Payment declined')],
  settings: (app) => [
    { ...text(app.data.user), id: 'user_name' },
    button(`Theme: ${app.data.theme ?? 'light'}`, () => (app.data.theme = 'dark')),
    button('Sign out', () => {
      delete app.data.user;
      app.screen = 'welcome';
    }),
  ],
};

// A started app: what it has stored is there, where it was left is not.
const start = (data) => ({ data, screen: data.user ? 'products' : 'welcome' });

const show = (app) => SCREENS[app.screen](app);

module.exports = { start, show };
