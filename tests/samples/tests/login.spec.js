const { test, expect } = require('@playwright/test');
const { App } = require('./app');

test.describe('login', () => {
  test('the right password opens the home screen', async () => {
    const app = new App();
    await app.signIn('ada@example.com', 'correct horse');
    expect(app.state.screen).toBe('home');
    expect(app.state.user.name).toBe('ada');
  });

  test('a wrong password is refused and stays on the screen', async () => {
    const app = new App({ screen: 'login' });
    await expect(app.signIn('ada@example.com', 'guess')).rejects.toThrow('wrong password');
    expect(app.state.screen).toBe('login');
  });
});
