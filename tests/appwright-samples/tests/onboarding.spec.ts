import { expect, test } from "appwright";

test("a new user is welcomed", async ({ device }) => {
  await expect(device.getByText("Welcome to the shop")).toBeVisible();
});
