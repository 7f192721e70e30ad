import { expect, test } from "appwright";
import { signIn } from "@screens/sign-in";

test("signing in leads to the products", async ({ device }) => {
  await signIn(device);
  await expect(device.getByText("Products", { exact: true })).toBeVisible();
});
