const { test, expect } = require('@playwright/test');
const { App } = require('./app');

test.describe('settings', () => {
  for (const theme of ['light', 'dark', 'system']) {
    test(`the ${theme} theme is kept`, async () => {
      const app = await new App().open('settings');
      app.state.settings.theme = theme;
      await app.open('home');
      expect(app.state.settings.theme).toBe(theme);
    });
  }
});
